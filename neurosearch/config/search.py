"""Fields of the search section: what is optimised, on what, for how long, and how sure the answer must be."""

from math import inf
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, PlainValidator, field_validator, model_validator
from pydantic_core import PydanticCustomError

from neurosearch.config.base import Count, Fields, Index, NonNegativeFloat, Number, PositiveFloat, nearest
from neurosearch.names import BALANCED_ACCURACY, IDEALS, LATENCY_SECONDS, OBJECTIVES

Direction = Literal["maximize", "minimize"]
Arm = Literal["fixed", "equal_compute", "wide_then_prune", "recycle", "random_importance"]
ARMS: tuple[Arm, ...] = get_args(Arm)


def _gpus(value: object) -> float | Literal["auto"]:
    """Reads what is neither a number nor a choice alone, so that what is wrong is said once and not for each."""
    try:
        gpus = -1.0 if isinstance(value, bool) else float(value)  # type: ignore[arg-type]  # others raise
    except (TypeError, ValueError):
        gpus = -1.0
    if value == "auto":
        return "auto"
    if not 0 <= gpus < inf:
        raise PydanticCustomError(
            "gpus",
            "must be auto or a number of at least 0, such as 0.25, but is {value}",
            {"value": repr(value)},
        )
    if gpus > 1 and gpus != round(gpus):
        raise PydanticCustomError(
            "gpus",
            "a trial has a share of one GPU or several whole ones, not {gpus}; write {fewer} or {more}",
            {"gpus": f"{gpus:g}", "fewer": int(gpus), "more": int(gpus) + 1},
        )
    return gpus


#: How many trials take their steps together; few sizes, since each is a step of its own.
PACK_SIZES = (2, 4, 8, 16, 32, 64, 128, 256)


def _packing(value: object) -> int | Literal["auto", "off"]:
    """Reads a size or a choice; YAML reads `off` as false."""
    if value is False or value == "off":
        return "off"
    if value == "auto":
        return "auto"
    if not isinstance(value, bool) and isinstance(value, int) and value in PACK_SIZES:
        return value
    raise PydanticCustomError(
        "packing",
        "must be auto, off or one of {sizes}, but is {value}",
        {"sizes": ", ".join(map(str, PACK_SIZES)), "value": repr(value)},
    )


Packing = Annotated[
    int | Literal["auto", "off"],
    PlainValidator(_packing, json_schema_input_type=Literal["auto", "off", False, 2, 4, 8, 16, 32, 64, 128, 256]),
]

Gpus = Annotated[
    float | Literal["auto"], PlainValidator(_gpus, json_schema_input_type=NonNegativeFloat | Literal["auto"])
]


def _known_metric(metric: str) -> str:
    if metric not in OBJECTIVES:
        raise PydanticCustomError(
            "unknown_metric",
            "unknown metric {metric}.{hint} Choose one of {known}",
            {"metric": repr(metric), "hint": nearest(metric, OBJECTIVES), "known": ", ".join(OBJECTIVES)},
        )
    return metric


def _beyond_ideal(metric: str, value: float) -> bool:
    """Tells whether no network is as good as that."""
    ideal = IDEALS[OBJECTIVES[metric]]
    return value > ideal if OBJECTIVES[metric] == "maximize" else value < ideal


class Objective(Fields):
    """One metric that the search optimises."""

    metric: str = Field(BALANCED_ACCURACY, description="Metric of the final network on the validation part")
    direction: Direction = Field(description="maximize or minimize: whether more or less of it is better")

    @field_validator("metric")
    @classmethod
    def _is_known(cls, metric: str) -> str:
        return _known_metric(metric)

    @model_validator(mode="after")
    def _points_the_right_way(self) -> Self:
        right = OBJECTIVES[self.metric]
        if self.direction != right:
            raise PydanticCustomError(
                "direction",
                "{metric} is to be {right}d, but direction is {direction}; write direction: {right}",
                {"metric": self.metric, "right": right, "direction": self.direction},
            )
        return self


class Constraint(Fields):
    """A bound on one metric of the final network; beyond it, a trial is infeasible and never the best."""

    metric: str = Field(description="Metric of the final network on the validation part")
    at_most: Number | None = Field(None, description="Largest value allowed")
    at_least: Number | None = Field(None, description="Smallest value allowed")

    @field_validator("metric")
    @classmethod
    def _is_known(cls, metric: str) -> str:
        return _known_metric(metric)

    @model_validator(mode="after")
    def _has_one_bound(self) -> Self:
        if (self.at_most is None) == (self.at_least is None):
            raise PydanticCustomError(
                "bound",
                "{metric} needs exactly one of at_most and at_least; for both bounds write two constraints",
                {"metric": self.metric},
            )
        return self

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        bound = "at_least" if OBJECTIVES[self.metric] == "maximize" else "at_most"
        value = getattr(self, bound)
        if value is not None and _beyond_ideal(self.metric, value):
            raise PydanticCustomError(
                "out_of_reach",
                "{bound} is {value}, but the best {metric} that there can be is {ideal}; {change} {bound}",
                {
                    "metric": self.metric,
                    "bound": bound,
                    "value": f"{value:g}",
                    "ideal": f"{IDEALS[OBJECTIVES[self.metric]]:g}",
                    "change": "lower" if bound == "at_least" else "raise",
                },
            )
        return self


class StoppingFields(Fields):
    """When a trial ends before its last epoch, because others did better with the same compute."""

    kind: Literal["none", "halving"] = Field(
        "none", description="halving: at each rung of compute the best 1 / reduction go on (arXiv:1810.05934)"
    )
    reduction: Annotated[int, Field(ge=2, le=100, strict=True)] = Field(
        3, description="The best 1 / reduction go on; also the factor of compute from one rung to the next"
    )
    first_share: Annotated[Number, Field(gt=0.0, le=1.0)] = Field(
        0.1, description="Compute at the first rung, as a share of a typical whole training of the space"
    )


class WarmStartFields(Fields):
    """An earlier study: its trials are no trials of this one, the sampler knows them."""

    study: Annotated[str, Field(min_length=1)] = Field(description="Name of the earlier study")
    folder: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="Storage folder that it is in, written as storage.folder; absent: the one of this study"
    )


class SearchFields(Fields):
    """How many trials run, where, and what they are judged by."""

    trials: Count = Field(20, description="Trials to run; a resumed study counts the ones it has")
    concurrency: Count = Field(1, description="Trials that run at the same time")
    cpus_per_trial: PositiveFloat = Field(1.0, description="CPU cores of one trial; also its number of threads")
    gpus_per_trial: Gpus = Field(
        0.0,
        description="GPUs of one trial; a share such as 0.25 shares one and its memory, several of one machine train "
        "it together; auto: the share that its largest network will need, in eighths",
    )
    packing: Packing = Field(
        "off",
        description="How many trials of small networks take their steps together in one worker, such as 16; auto: 16 "
        "where that is faster, measured once for each kind of trial",
    )
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1, max_length=5)] = Field(
        (Objective(metric=BALANCED_ACCURACY, direction="maximize"),),
        description="What is optimised, such as [{metric: accuracy, direction: maximize}]; several give a Pareto front",
    )
    constraints: tuple[Constraint, ...] = Field(
        (), description="Bounds beside the size limit, such as [{metric: worst_class_recall, at_least: 0.4}]"
    )
    candidates: Literal["final", "at_rest"] = Field(
        "final",
        description="final: a trial gives one point of the front; at_rest: every epoch at which its size is at rest "
        "is a candidate, too",
    )
    stopping: StoppingFields = Field(
        default_factory=StoppingFields, description="Early stopping, such as {kind: halving, reduction: 3}"
    )
    silence_seconds: PositiveFloat | None = Field(
        # Half an hour: far above an epoch of what a search can afford, and a hang costs one worker no more than that.
        1800.0,
        description="Longest time without an epoch's end after which a trial counts as hanging, its worker is ended, "
        "and the trial fails; null: wait for ever",
    )
    kept_trials: Count = Field(
        5,
        description="Best trials whose final networks stay on the disk, beside the front, the finalists and the "
        "control; results stay of all",
    )
    sampler: Literal["tpe", "gp", "cmaes", "nsga2", "qmc", "random", "grid"] = Field(
        "tpe",
        description="How the next configuration is chosen: tpe fits any space; gp (Gaussian processes), cmaes and "
        "nsga2 learn too; qmc (Sobol sequence), random and grid do not",
    )
    points: tuple[dict[str, Any], ...] = Field(
        (),
        description="Points to try first, as values by hyperparameter name, such as [{training.learning_rate: 0.01}]; "
        "values left out are drawn",
    )
    warm_start: WarmStartFields | None = Field(
        None, description="An earlier study with the same objectives that the sampler learns from, such as {study: a}"
    )
    deterministic: bool = Field(
        False,
        description="Suggest in generations of `concurrency` trials, so that a study gives the same trials however "
        "often it was interrupted",
    )
    time_budget_seconds: PositiveFloat | None = Field(
        None, description="Seconds of searching after which no new trial starts; absent: no limit"
    )
    compute_budget_hours: PositiveFloat | None = Field(
        None, description="Hours of trials times their cores (their GPUs, if they have any) after which none starts"
    )
    target: Number | None = Field(None, description="Value of the first objective at which the search is content")
    patience_trials: Count | None = Field(
        None,
        description="Ended trials without a better one (several objectives: without a larger front) to stop after",
    )
    seeds: Count = Field(
        1, description="Seeds that a configuration is judged on, the same for all; a clearly worse one stops early"
    )
    finalists: Index = Field(
        2, description="Best configurations that are trained again on fresh seeds; 0: the search's own values decide"
    )
    fresh_seeds: Count = Field(5, description="Seeds unseen by the search that finalists and control are trained on")
    control: bool = Field(
        True, description="Train the largest static network within the size limit beside the winner, as its control"
    )
    arms: tuple[Arm, ...] = Field(
        ("recycle",),
        description="What else is trained on the fresh seeds beside the best finalist that changed neurons, with its "
        "hyperparameters and final size. fixed: no change; equal_compute: fixed, for as many multiply-adds; "
        "wide_then_prune: the grown width, pruned once; recycle: dormant neurons begin anew; random_importance: "
        "pruned at random",
    )

    @property
    def metrics(self) -> frozenset[str]:
        """Names of the metrics that trials are judged by."""
        wanted = [objective.metric for objective in self.objectives]
        return frozenset(wanted + [constraint.metric for constraint in self.constraints])

    @property
    def devices_per_trial(self) -> float:
        """What an hour of a trial costs in hours of compute: its GPUs, or its CPU cores if it has none."""
        gpus = 1.0 if self.gpus_per_trial == "auto" else self.gpus_per_trial
        return gpus or self.cpus_per_trial

    @model_validator(mode="after")
    def _hours_can_be_counted(self) -> Self:
        if self.gpus_per_trial == "auto" and self.compute_budget_hours is not None:
            raise PydanticCustomError(
                "hours",
                "compute_budget_hours counts GPUs, and gpus_per_trial: auto gives each trial another share; write a "
                "number, such as gpus_per_trial: 0.25, or take time_budget_seconds",
            )
        return self

    @model_validator(mode="after")
    def _arms_have_something_beside_them(self) -> Self:
        if doubled := next((arm for arm in self.arms if self.arms.count(arm) > 1), None):
            raise PydanticCustomError("doubled", "arms name {arm} twice; take one out", {"arm": doubled})
        if "arms" in self.model_fields_set and self.arms and not (self.finalists and self.control):
            raise PydanticCustomError(
                "arms",
                "arms stand beside a finalist and the control on the same fresh seeds, but there is none of the one or "
                "the other; set finalists to 1 or more and control to true, or take arms out",
            )
        return self

    @property
    def followed_by_arms(self) -> tuple[Arm, ...]:
        """Arms that are trained once the finalists are known: none where there is nothing to set them beside."""
        return self.arms if self.finalists and self.control else ()

    @model_validator(mode="after")
    def _objectives_differ(self) -> Self:
        metrics = [objective.metric for objective in self.objectives]
        doubled = next((metric for metric in metrics if metrics.count(metric) > 1), None)
        if doubled is not None:
            raise PydanticCustomError("doubled", "objectives name {metric} twice; take one out", {"metric": doubled})
        return self

    @model_validator(mode="after")
    def _constraints_agree(self) -> Self:
        for lower in self.constraints:
            for upper in self.constraints:
                if (
                    lower.metric == upper.metric
                    and lower.at_least is not None
                    and upper.at_most is not None
                    and lower.at_least > upper.at_most
                ):
                    raise PydanticCustomError(
                        "contradiction",
                        "constraints ask for {metric} of at least {low} and at most {high}, which nothing meets; "
                        "lower the one or raise the other",
                        {"metric": lower.metric, "low": f"{lower.at_least:g}", "high": f"{upper.at_most:g}"},
                    )
        return self

    @model_validator(mode="after")
    def _target_can_be_reached(self) -> Self:
        metric = self.objectives[0].metric
        if self.target is not None and _beyond_ideal(metric, self.target):
            raise PydanticCustomError(
                "out_of_reach",
                "target is {target}, but the best {metric} that there can be is {ideal}, so it would never be reached; "
                "give another target, or leave it out",
                {"target": f"{self.target:g}", "metric": metric, "ideal": f"{IDEALS[OBJECTIVES[metric]]:g}"},
            )
        return self

    @model_validator(mode="after")
    def _epochs_make_a_front(self) -> Self:
        if self.candidates == "at_rest" and (self.seeds > 1 or len(self.objectives) == 1):
            raise PydanticCustomError(
                "candidates",
                "candidates: at_rest makes single epochs points of a front, so it needs several objectives and "
                "seeds: 1; write candidates: final, or change these",
            )
        return self

    @model_validator(mode="after")
    def _clocks_stand_still(self) -> Self:
        for name in ("time_budget_seconds", "compute_budget_hours"):
            if self.deterministic and getattr(self, name) is not None:
                raise PydanticCustomError(
                    "clock",
                    "deterministic and {name} exclude each other: a clock never runs the same way twice; give trials, "
                    "target or patience_trials instead, or set deterministic: false",
                    {"name": name},
                )
        if self.deterministic and LATENCY_SECONDS in self.metrics:
            raise PydanticCustomError(
                "clock",
                "deterministic and the metric latency_seconds exclude each other: it is measured, and never the same "
                "twice; take multiply_adds, or set deterministic: false",
            )
        return self
