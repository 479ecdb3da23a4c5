"""What a search came to: stopped, nothing feasible, or a winner that is exported and set beside its control."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from neurosearch.cli.comparison import comparison_lines
from neurosearch.cli.frame import INTERRUPTED
from neurosearch.cli.report import FAILED, NOTHING_FEASIBLE, OK, CommandError, Report, neurosearch
from neurosearch.cli.studies import front_lines, on_study, outcome_facts, shows, study_facts, study_lines
from neurosearch.search.answer import answered, unanswered
from neurosearch.search.confirmed import by_seed
from neurosearch.search.run import SearchResult
from neurosearch.search.seams import TrialSummary
from neurosearch.search.stored import StoredStudy

if TYPE_CHECKING:
    from neurosearch.cli.delivery import Delivery


def search_report(study: StoredStudy, result: SearchResult, remarks: tuple[str, ...]) -> Report:
    """Exports the winner, if there is one, and tells what came out.

    Args:
        study: The study.
        result: How the search ended.
        remarks: What else the user should know.

    Raises:
        CommandError: The winner cannot be exported, or its export was interrupted.
    """
    if result.halted is not None:
        return _ended_early(study, result, (result.halted, *remarks), FAILED)
    if result.stopped:
        line = "stopped; running trials keep their checkpoints and go on when the study is resumed."
        return _ended_early(study, result, (line, *remarks), OK)
    untested = unanswered(study.trials(), study.config.study)
    told = (*_few_trials(study), *((untested,) if untested else ()), *remarks)
    if result.best is None:
        return _nothing_feasible(study, result, told)
    return _delivered(study, result, result.best, told)


def _few_trials(study: StoredStudy) -> Iterator[str]:
    """Tells why a search ended before all of its trials."""
    asked_for = study.config.study.search.trials
    if study.enough is not None and study.num_searched < asked_for:
        yield f"{study.num_searched} of {asked_for} trials were enough: {study.enough}"


def _ended_early(study: StoredStudy, result: SearchResult, lines: tuple[str, ...], code: int) -> Report:
    facts = {"ok": code == 0, "stopped": result.stopped, "halted": result.halted, **study_facts(study)}
    return Report(
        facts,
        (*lines, *study_lines(study)),
        next=(on_study("resume", study), on_study("status", study)),
        code=code,
    )


def _nothing_feasible(study: StoredStudy, result: SearchResult, remarks: tuple[str, ...]) -> Report:
    infeasible, stopped, failed = (result.counts[state] for state in ("infeasible", "stopped", "failed"))
    text = (
        f"nothing feasible was found: {infeasible} trials ended beyond the size limit or a constraint, "
        f"{stopped} were stopped early, {failed} failed. Loosen the bounds, or search smaller networks."
    )
    facts = {"ok": False, "error": text, "exit_code": NOTHING_FEASIBLE, **study_facts(study)}
    return Report(
        facts, (text, *remarks, *study_lines(study)), next=(on_study("status", study),), code=NOTHING_FEASIBLE
    )


def _delivered(study: StoredStudy, result: SearchResult, winner: TrialSummary, remarks: tuple[str, ...]) -> Report:
    from neurosearch.cli.delivery import confusion, deliver_trial, test_scores, winner_facts

    rival = _rival(study, result, winner)
    answer = answered(study.trials(), study.config.study)
    try:
        shown = [winner_facts(study, trial) for trial in (winner, rival) if trial is not None]
        delivery = deliver_trial(study, winner, study.folder.export)  # after the test part is read: its card says it
        if answer is not None:
            both = (study.trial(number) for number in (answer.searched, answer.control))
            answer = answer.with_test(*(by_seed(each, test_scores(study, each)) for each in both))
        matrices, more = confusion(study, _kept(study, winner, rival))
    except KeyboardInterrupt as error:
        raise CommandError(
            "interrupted while the winner was exported; the search itself is complete.",
            code=INTERRUPTED,
            next_commands=(on_study("export", study),),
        ) from error
    except OSError as error:
        raise CommandError(
            f"the winner cannot be exported: {error}. The search itself is complete; mend that and export it.",
            code=FAILED,
            next_commands=(on_study("export", study),),
        ) from error
    by_number = {trial["number"]: trial for trial in shown}
    facts = {
        "ok": True,
        "study": study.folder.name,
        "folder": str(study.folder.path),
        "counts": dict(result.counts),
        "winner": shown[0],
        "control": by_number.get(result.control.number) if result.control else None,
        **outcome_facts(study),
        "answer": answer.facts() if answer else None,
        "export": delivery.facts(),
        "confusion": matrices,
        "remarks": [*remarks, *more],
    }
    metrics = [objective.metric for objective in study.config.study.search.objectives]
    lines = (*comparison_lines(shown, metrics, answer), *front_lines(study), *delivery.lines(), *remarks, *more)
    return Report(facts, lines, next=_next(study, delivery))


def _rival(study: StoredStudy, result: SearchResult, winner: TrialSummary) -> TrialSummary | None:
    """Returns what stands beside the winner: the control, or where the control won, the best that was searched.

    None where that is the very network of the control.
    """
    if winner.role != "control":
        return result.control
    searched = study.best("finalist") or study.best("search")
    return None if searched is None or searched.config == winner.config else searched


def _kept(study: StoredStudy, winner: TrialSummary, rival: TrialSummary | None) -> list[TrialSummary]:
    """Returns what is looked at closely: the winner, what stands beside it, all finalists and the control."""
    others = [each for each in study.trials() if each.role in ("finalist", "control") and each.state == "finished"]
    return list({each.number: each for each in (winner, rival, *others) if each is not None}.values())


def _next(study: StoredStudy, delivery: "Delivery") -> tuple[str, ...]:
    return (
        shows(study),
        neurosearch("predict", delivery.exported.folder, "INPUTS"),
        on_study("status", study),
    )
