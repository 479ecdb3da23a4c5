"""`neurosearch logs`: where everybody's words on a study are, and where in the code a trial broke or hung."""

import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurosearch.cli.frame import command
from neurosearch.cli.options import RUNS, Cluster, Database, Folder, StudyName
from neurosearch.cli.report import Report, say

if TYPE_CHECKING:
    from neurosearch.search.seams import TrialSummary
    from neurosearch.search.stored import StoredStudy

_POLL_SECONDS = 0.3


@command
def logs(
    name: StudyName,
    folder: Folder = RUNS,
    database: Database = None,
    trial: Annotated[
        int | None, typer.Option("--trial", help="Why and where in the code this trial failed or hung.", min=0)
    ] = None,
    lines: Annotated[int, typer.Option("--lines", help="Last lines of each log to show.", min=0)] = 5,
    follow: Annotated[
        bool, typer.Option("--follow", help="Print what the logs say from now on, until the search ends or Ctrl-C.")
    ] = False,
    address: Cluster = None,
) -> Report:
    """Show where the logs of Ray, MLflow and the export are, and what they say last; with --trial, its traceback."""
    if address is not None:
        from neurosearch.cli.far_logs import far_logs

        return far_logs(name, address, folder, database, trial=trial, lines=lines, follow=follow)
    from neurosearch.cli.studies import open_study

    study = open_study(name, folder, database)
    if trial is not None:
        return _trial_report(study, study.trial(trial))
    if follow:
        return _follow(study, lines)
    return _report(study, lines)


def _report(study: "StoredStudy", most: int) -> Report:
    from neurosearch.cli.studies import on_study
    from neurosearch.search.log_files import last_lines, log_files, ray_sessions

    files = [_file_facts(path, last_lines(path, most)) for path in log_files(study.folder)]
    sessions = [{"folder": str(path), "is_there": path.is_dir()} for path in ray_sessions(study.folder)]
    failed = [trial.number for trial in study.trials() if trial.state == "failed"]
    facts = {
        "study": study.folder.name,
        "folder": str(study.folder.logs),
        "files": files,
        "ray_sessions": sessions,
        "failed_trials": failed,
    }
    why = tuple(on_study("logs", study, "--trial", number) for number in failed[-3:])
    return Report(facts, tuple(_lines(study, files, sessions, failed)), next=(*why, on_study("status", study)))


def _file_facts(path: Path, last: Sequence[str]) -> dict[str, Any]:
    about = path.stat()
    return {"path": str(path), "bytes": about.st_size, "written": about.st_mtime, "last_lines": list(last)}


def _lines(
    study: "StoredStudy",
    files: Sequence[dict[str, Any]],
    sessions: Sequence[dict[str, Any]],
    failed: Sequence[int],
) -> Iterator[str]:
    if not files:
        yield f"no logs yet: they will be in {study.folder.logs}, once the study is searched."
    for file in files:
        written = datetime.fromtimestamp(file["written"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        yield f"{file['path']}: {file['bytes']:,} bytes, last written {written}"
        yield from (f"  {line}" for line in file["last_lines"])
    there = [session["folder"] for session in sessions if session["is_there"]]
    if there:
        yield f"Ray's own processes, workers included: {there[0]}"
    elif sessions:
        yield f"Ray's own processes: {sessions[0]['folder']}, on the machine of the search; not here, or not any more."
    if failed:
        yield f"failed trials: {', '.join(map(str, failed))}"


def _trial_report(study: "StoredStudy", trial: "TrialSummary") -> Report:
    from neurosearch.cli.studies import on_study
    from neurosearch.search.artifacts import artifacts_of

    folder = study.folder
    texts = {"traceback": folder.traceback(trial.number), "hang": folder.stacks(trial.number)}
    fetch = artifacts_of(folder).fetch
    found = {what: path.read_text("utf-8", "replace") for what, path in texts.items() if fetch(path)}
    facts = {
        "study": folder.name,
        "trial": trial.number,
        "state": trial.state,
        "reason": trial.reason,
        "folder": str(folder.trial(trial.number)),
        **{what: found.get(what) for what in texts},
    }
    why = f": {trial.reason}" if trial.reason else ""
    lines = [f"trial {trial.number}, {trial.kind}, {trial.state} after epoch {trial.epochs}{why}"]
    for what, text in found.items():
        title = "it failed here" if what == "traceback" else "it said nothing for too long, and stood here"
        lines += [f"{title} ({texts[what]}):", *(f"  {line}" for line in text.splitlines())]
    if not found:
        lines.append(f"it left no traceback; its checkpoints and results are in {folder.trial(trial.number)}")
    return Report(facts, tuple(lines), next=(on_study("status", study), on_study("logs", study)))


def _follow(study: "StoredStudy", most: int) -> Report:
    from neurosearch.cli.studies import on_study, searcher
    from neurosearch.search.log_files import Follower, last_lines, log_files

    follower = Follower()
    for path in log_files(study.folder):
        follower.skip(path)
        for line in last_lines(path, most):
            say(f"[{path.stem}] {line}")
    try:
        searched = True
        while searched:
            searched = searcher(study) is not None  # asked first: what is written until then is read once more
            for path in log_files(study.folder):
                for line in follower.new_lines(path):
                    say(f"[{path.stem}] {line}")
            if searched:
                time.sleep(_POLL_SECONDS)
        end = "nobody searches the study; its logs are at their end."
    except KeyboardInterrupt:
        end = "stopped following; the search goes on."
    return Report({"study": study.folder.name, "end": end}, (end,), next=(on_study("status", study),))
