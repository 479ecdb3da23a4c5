from pathlib import Path

from neurosearch.search.folders import StudyFolder


def test_a_study_is_found_again_by_the_path_of_its_folder(tmp_path):
    folder = StudyFolder(tmp_path, "moons")
    assert StudyFolder.at(str(folder.path)) == folder


def test_everything_lies_in_the_study_s_own_folder():
    folder = StudyFolder(Path("runs"), "moons")
    paths = (folder.journal, folder.lock, folder.config, folder.data, folder.logs, folder.export, folder.result(7))
    assert all(path.is_relative_to("runs/moons") for path in paths)
    assert folder.trial(7).name == "00007"


def test_commands_name_the_folder_only_where_it_is_not_the_default_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert StudyFolder(Path("runs"), "moons").command("stop") == "neurosearch stop moons"
    assert StudyFolder(tmp_path / "runs", "moons").command("stop") == "neurosearch stop moons"
    assert StudyFolder(Path("my runs"), "moons").command("stop") == "neurosearch stop moons --folder 'my runs'"
