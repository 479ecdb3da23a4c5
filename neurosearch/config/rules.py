"""Rules over several fields: each says which fields clash and how to mend it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from neurosearch.config.data import DataFields, FunctionFields, ImageListFields, NpzFields, SpiralFields, TaskKind
from neurosearch.config.kinds import Conflict, Rule
from neurosearch.config.losses import LOSSES
from neurosearch.config.model import MlpFields, ResnetCifarFields, VitFields
from neurosearch.config.s3 import S3Fields, is_on_s3
from neurosearch.epochs import epochs_until, epochs_within

if TYPE_CHECKING:
    from neurosearch.config.trial import TrialConfig


def _warmup_fits(config: "TrialConfig") -> Iterator[Conflict]:
    training = config.training
    if training.warmup_epochs >= training.epochs:
        yield Conflict(
            ("training.warmup_epochs", "training.epochs"),
            f"warmup_epochs is {training.warmup_epochs} but epochs is {training.epochs}, so the full learning rate is "
            "never reached. Lower warmup_epochs or raise epochs.",
        )


def _drops_ascend(config: "TrialConfig") -> Iterator[Conflict]:
    drops = config.training.drops
    if list(drops) != sorted(set(drops)):
        yield Conflict(("training.drops",), f"drops are {list(drops)}; write them ascending and each once.")


def s3_has_an_address(config: "TrialConfig") -> Iterator[Conflict]:
    """How S3 is reached matters to addresses in it alone."""
    data = config.data
    assert isinstance(data, NpzFields | ImageListFields)
    paths = [data.path] if isinstance(data, NpzFields) else [data.path, data.train_list, data.test_list or ""]
    if data.s3 != S3Fields() and not any(map(is_on_s3, paths)):
        yield Conflict(
            ("data.s3", "data.path"),
            f"s3 says how S3 is reached, but nothing has an s3:// address: path is {data.path}. Write "
            "s3://BUCKET/PREFIX, or take s3 out.",
        )


def _zapping_fits(config: "TrialConfig") -> Iterator[Conflict]:
    training = config.training
    period = training.zap_period_epochs
    last = min(epochs_within(training.zap_stop_share, training.epochs), training.epochs - 1)
    if period > last:
        yield Conflict(
            ("training.zap_period_epochs", "training.epochs"),
            f"zap_period_epochs is {period}, but the class head is drawn anew up to epoch {last} alone (zap_stop_share "
            f"{training.zap_stop_share} of epochs {training.epochs}), so it never would be. Lower zap_period_epochs, "
            "or raise zap_stop_share or epochs.",
        )
    elif period:
        drawn = last // period * period
        yield from before_the_last_drop(config, "training.zap_stop_share", drawn, "the class head is drawn anew")


def _decorrelation_fits(config: "TrialConfig") -> Iterator[Conflict]:
    training = config.training
    if training.decorrelation == 0:
        return
    if training.compile:
        yield Conflict(
            ("training.decorrelation", "training.compile"),
            f"decorrelation is {training.decorrelation:g}, which watches the layers of every training step, and a "
            "compiled step cannot be watched. Set compile: false, or decorrelation: 0.",
        )
    if training.batch_size < 3:
        yield Conflict(
            ("training.decorrelation", "training.batch_size"),
            f"decorrelation is {training.decorrelation:g}, but batch_size is {training.batch_size}, and any two "
            "neurons that vary over two examples are wholly correlated. Set batch_size to 3 or more, or "
            "decorrelation: 0.",
        )


def before_the_last_drop(config: "TrialConfig", field: str, epoch: int, what: str) -> Iterator[Conflict]:
    """What changes after the learning rate has dropped for the last time is hardly trained."""
    training = config.training
    last_drop = epochs_until(max(training.drops, default=1.0), training.epochs)
    if training.schedule == "step" and epoch > last_drop:
        yield Conflict(
            (field, "training.drops"),
            f"{what} after {epoch} epochs, but the learning rate drops for the last time after {last_drop}: what comes "
            "or goes later is hardly trained. Let it be earlier, or drop later.",
        )


def function_has_spread(config: "TrialConfig") -> Iterator[Conflict]:
    """The interval has a length, the polynomial the degree of its name, and the function does not stay the same."""
    data = config.data
    assert isinstance(data, FunctionFields)
    low, high = data.interval
    if low >= high:
        yield Conflict(
            ("data.low", "data.high"),
            f"the interval begins at {low:g} and ends at {high:g}, so the function has no spread. Lower low or raise "
            "high.",
        )
    if data.coefficients is None:
        return
    if data.function not in ("cubic", "quadratic"):
        yield Conflict(
            ("data.coefficients", "data.function"),
            f"coefficients are those of a polynomial, but function is {data.function}. Take them out, or set function: "
            "cubic or quadratic.",
        )
        return
    count = {"cubic": 4, "quadratic": 3}[data.function]
    if len(data.coefficients) != count:
        yield Conflict(
            ("data.coefficients", "data.function"),
            f"there are {len(data.coefficients)} coefficients, but function is {data.function}. Give {count}, the "
            "highest power's first.",
        )
    elif not any(data.coefficients[:-1]):
        yield Conflict(
            ("data.coefficients", "data.function"),
            f"all coefficients but the last are 0, so the {data.function} has no spread. "
            "Let one of them differ from 0.",
        )


def spiral_arms_have_points(config: "TrialConfig") -> Iterator[Conflict]:
    """Every arm has a point to train on, one to validate and one to test."""
    data = config.data
    assert isinstance(data, SpiralFields)
    if data.num_points < 3 * data.num_classes:
        yield Conflict(
            ("data.num_points", "data.num_classes"),
            f"num_points is {data.num_points} for {data.num_classes} classes, but each needs one point to train, one "
            f"to validate and one to test. Set num_points to {3 * data.num_classes} or more.",
        )


def batch_norm_has_two_examples(config: "TrialConfig") -> Iterator[Conflict]:
    """Mean and variance over a batch need two values; a neuron has one of each example, a channel one of each place."""
    model, training = config.model, config.training
    assert isinstance(model, MlpFields)
    if model.norm == "batch" and training.batch_size == 1:
        yield Conflict(
            ("training.batch_size", "model.norm"),
            "batch_size is 1 but norm is batch, which takes each neuron's mean and variance over the examples of a "
            "step and cannot over one. Set batch_size to 2 or more, or norm to none.",
        )


def resnet_stages_fit(config: "TrialConfig") -> Iterator[Conflict]:
    """Each stage has an inner width, and no stage is narrower than the one before it."""
    model = config.model
    assert isinstance(model, ResnetCifarFields)
    if len(model.widths) != len(model.inner_widths):
        yield Conflict(
            ("model.inner_widths", "model.widths"),
            f"inner_widths has {len(model.inner_widths)} stages and widths has {len(model.widths)}. Give both as many.",
        )
    if list(model.widths) != sorted(model.widths):
        yield Conflict(
            ("model.widths",),
            f"widths are {list(model.widths)}, but a shortcut can only add channels. Let no stage be narrower than the "
            "one before it.",
        )


def vit_heads_fit(config: "TrialConfig") -> Iterator[Conflict]:
    """The shared width is split evenly among the heads."""
    model = config.model
    assert isinstance(model, VitFields)
    if model.hidden_dim % model.num_heads:
        yield Conflict(
            ("model.hidden_dim", "model.num_heads"),
            f"hidden_dim is {model.hidden_dim}, no multiple of num_heads {model.num_heads}, so the heads cannot share "
            "it. Change one of them.",
        )


def _loss_fits_the_task(config: "TrialConfig") -> Iterator[Conflict]:
    task, loss = task_kind(config), config.training.loss.kind
    if loss not in LOSSES[task]:
        what = "classes" if task == "regression" else "quantities"
        yield Conflict(
            ("training.loss", "data.task"),
            f"loss is {loss}, which needs {what}, but the task is {task}. Set loss to {' or '.join(LOSSES[task])}.",
        )


def _imbalance_has_classes(config: "TrialConfig") -> Iterator[Conflict]:
    if task_kind(config) == "regression" and getattr(config.data, "imbalance", None) is not None:
        yield Conflict(
            ("data.imbalance", "data.task"),
            "imbalance thins out classes, but the task is regression, which has none. Take imbalance out.",
        )


def task_kind(config: "TrialConfig") -> TaskKind:
    """Returns what the data's targets are."""
    return config.data.task_kind if isinstance(config.data, DataFields) else "classification"


#: Rules that hold for every kind; a kind's own rules stand in its `Kind`.
TRAINING_RULES: tuple[Rule, ...] = (
    _warmup_fits,
    _drops_ascend,
    _loss_fits_the_task,
    _imbalance_has_classes,
    _zapping_fits,
    _decorrelation_fits,
)
