from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neurosearch.search.lease import LeasedTrial
from neurosearch.search.study import Study
from neurosearch.search.trial import trial_updates

TypeIn = Callable[..., Any]


@pytest.mark.slow
def test_mlflow_is_brought_up_to_the_study_once(type_in: TypeIn, start: Callable[..., Study], tmp_path: Path) -> None:
    study = start(tmp_path / "runs", tracking={})
    trial = study.ask()
    assert trial is not None
    leased = LeasedTrial(trial.number, trial.role, dict(trial.config), trial.seeds, ())
    for update in trial_updates(leased, study.stored.folder, "cpu"):
        study.report(trial.number, update.records)
        if update.outcome is not None:
            study.tell(trial.number, update.outcome)
    study.close()

    first = type_in("sync", "tiny", "--json").facts
    assert first["runs"] == 2, "the study's run and the trial's"
    assert first["written"] > 2
    assert first["refused"] == {}
    assert (tmp_path / "runs" / "mlflow.db").exists()
    assert type_in("status", "tiny", "--json").facts["trials"][0]["run_id"]
    again = type_in("sync", "tiny")
    assert again.code == 0
    assert "holds everything already; nothing was written." in again.out

    facts = type_in("export", "tiny", "--trial", 0, "--json").facts
    assert facts["remarks"] == []
    assert facts["model"] == {"uri": "models:/tiny/1", "version": 1}


def test_a_study_that_keeps_nothing_in_mlflow_is_told_so(type_in: TypeIn, finished: Path) -> None:
    done = type_in("sync", "tiny", "--folder", finished)
    assert done.code == 2
    assert "its config says tracking.enabled: false" in done.err


def test_a_server_that_is_down_is_a_failure_with_a_remedy(
    type_in: TypeIn, start: Callable[..., Study], tmp_path: Path
) -> None:
    start(tmp_path / "runs", tracking={"uri": "http://127.0.0.1:1"}).close()
    done = type_in("sync", "tiny")
    assert done.code == 3
    assert "http://127.0.0.1:1" in done.err
    assert done.err.splitlines()[-1] == "next: neurosearch sync tiny"
