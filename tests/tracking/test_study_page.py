import pytest

from neurosearch.tracking.store import Store, StoreError, choose_store, connect, experiment_id
from neurosearch.tracking.study_page import StudyPage, holds_study_page, write_study_page


@pytest.fixture
def run_id(embedded: Store) -> str:
    client = connect(embedded)
    return client.create_run(experiment_id(client, embedded, "digits"), run_name="digits").info.run_id


def page(note: str = "what came out") -> StudyPage:
    tags = {"neurosearch.best_trial": "7", "neurosearch.answer": "unclear"}
    return StudyPage(note, tags, {"best/accuracy": 0.8}, {"front.csv": "trial\n7\n", "front.json": "{}"})


def test_a_study_run_tells_what_came_out(embedded, run_id):
    assert write_study_page(embedded, run_id, page(), 1_700_000_000_000) == 2
    client = connect(embedded)
    run = client.get_run(run_id)
    assert run.data.tags["mlflow.note.content"] == "what came out"
    assert run.data.tags["neurosearch.answer"] == "unclear"
    assert run.data.metrics == {"best/accuracy": 0.8}
    assert {file.path for file in client.list_artifacts(run_id)} == {"front.csv", "front.json"}


def test_a_run_holds_the_page_that_was_written_last_and_no_other(embedded, run_id):
    assert not holds_study_page(embedded, run_id, page())
    write_study_page(embedded, run_id, page(), 1)
    assert holds_study_page(embedded, run_id, page())
    assert not holds_study_page(embedded, run_id, page("more came out"))
    assert write_study_page(embedded, run_id, page("more came out"), 3) == 2
    assert connect(embedded).get_run(run_id).data.tags["mlflow.note.content"] == "more came out"


def test_a_server_that_is_down_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"http://127.0.0.1:9 does not take the study's results"):
        write_study_page(choose_store(tmp_path, "http://127.0.0.1:9"), "0" * 32, page(), 1)
    with pytest.raises(StoreError, match=r"http://127.0.0.1:9 does not take the study's results"):
        holds_study_page(choose_store(tmp_path, "http://127.0.0.1:9"), "0" * 32, page())
