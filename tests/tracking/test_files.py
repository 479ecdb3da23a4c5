from pathlib import Path

import pytest

from neurosearch.tracking.files import log_files
from neurosearch.tracking.store import Store, StoreError, connect, experiment_id


def test_files_lie_in_a_folder_of_the_run(embedded: Store, tmp_path: Path) -> None:
    client = connect(embedded)
    run_id = client.create_run(experiment_id(client, embedded, "digits")).info.run_id
    table = tmp_path / "table.csv"
    for text in ("a,b\n", "a,b\n1,2\n"):
        table.write_text(text)
        log_files(embedded, run_id, "confusion", [table])
    assert [file.path for file in client.list_artifacts(run_id, "confusion")] == ["confusion/table.csv"]
    assert Path(client.download_artifacts(run_id, "confusion/table.csv")).read_text() == "a,b\n1,2\n"


def test_a_run_that_is_not_there_is_a_problem_of_the_store(embedded: Store, tmp_path: Path) -> None:
    connect(embedded)
    with pytest.raises(StoreError, match="does not take confusion"):
        log_files(embedded, "0" * 32, "confusion", [tmp_path / "table.csv"])
