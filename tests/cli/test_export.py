import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from neurosearch.cli.delivery import log_file
from neurosearch.cli.export import check_rights
from neurosearch.cli.machine_health import existing
from neurosearch.export.predictions import check_place
from neurosearch.search.folders import StudyFolder
from neurosearch.search.run import _make_ready
from neurosearch.search.study import Study
from tests.readers import as_reader, readable_folder

TypeIn = Callable[..., Any]


@pytest.fixture(scope="session")
def exported(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    from typer.testing import CliRunner

    from neurosearch.cli.app import app

    out = tmp_path_factory.mktemp("out") / "net"
    done = CliRunner().invoke(app, ["export", "tiny", "--folder", str(finished), "--out", str(out)])
    assert done.exit_code == 0, done.output
    return {"folder": out, "text": done.stdout}


def test_the_best_network_is_written_and_verified(exported: dict[str, Any]) -> None:
    assert {path.name for path in exported["folder"].iterdir()} == {
        "network.pt2",
        "network.onnx",
        "network.safetensors",
        "network.json",
    }
    lines = exported["text"].splitlines()
    assert lines[0].endswith("network.pt2, network.onnx, network.safetensors, network.json")
    assert "each loaded back and run on" in lines[1]
    assert "same predictions, largest difference" in lines[1]
    assert lines[2] == f"next: neurosearch predict {exported['folder']} INPUTS"


def test_a_named_trial_is_exported_also_above_the_limit(type_in: TypeIn, finished: Path, tmp_path: Path) -> None:
    trials = type_in("status", "tiny", "--folder", finished, "--json").facts["trials"]
    (above,) = (each["number"] for each in trials if each["state"] == "infeasible")
    facts = type_in("export", "tiny", "--folder", finished, "--trial", above, "--out", tmp_path / "x", "--json").facts
    assert facts["trial"] == above
    assert set(facts["files"]) == set(facts["differences"]) == {"pt2", "onnx", "safetensors"}
    assert facts["model"] is None, "this study keeps nothing in MLflow"


def test_a_folder_of_other_things_is_not_taken_for_an_export(type_in: TypeIn, finished: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("a.txt", "b.txt"):
        (tmp_path / "mine" / name).write_text("precious")
    done = type_in("export", "tiny", "--folder", finished, "--out", "mine")
    assert done.code == 2
    assert "mine holds a.txt and 1 more, which would be gone" in done.err
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {"a.txt", "b.txt"}
    taken = type_in("export", "tiny", "--folder", finished, "--out", "mine/a.txt")
    assert taken.code == 2
    assert "mine/a.txt is a file. Name a folder by --out." in taken.err
    assert (tmp_path / "mine" / "a.txt").read_text() == "precious"
    for _ in range(2):  # an earlier export gives way
        assert type_in("export", "tiny", "--folder", finished, "--out", "fresh").code == 0


@pytest.mark.parametrize("out", [".", ".."])
def test_the_folder_that_one_is_in_is_not_taken(type_in: TypeIn, finished: Path, out: str) -> None:
    done = type_in("export", "tiny", "--folder", finished, "--out", out)
    assert done.code == 2
    assert f"{out} is the folder you are in, or above it. Name one below, such as" in done.err


def test_a_trial_without_a_network_cannot_be_exported(type_in: TypeIn, unfinished: Path) -> None:
    done = type_in("export", "tiny", "--folder", unfinished, "--trial", 1)
    assert done.code == 2
    assert "error: trial 1 has not ended yet. Name another by --trial." in done.err
    missing = type_in("export", "tiny", "--folder", unfinished, "--trial", 99)
    assert missing.code == 2
    assert "has no trial 99" in missing.err


def test_an_epoch_on_the_front_is_exported_by_its_number(
    type_in: TypeIn, start: Callable[..., Study], run_trials: Callable[..., None], tmp_path: Path
) -> None:
    objectives = [
        {"metric": "balanced_accuracy", "direction": "maximize"},
        {"metric": "parameters", "direction": "minimize"},
    ]
    study = start(tmp_path / "runs", search={"trials": 1, "objectives": objectives, "candidates": "at_rest"})
    run_trials(study)
    study.close()
    facts = type_in("export", "tiny", "--trial", 0, "--epoch", 1, "--out", tmp_path / "x", "--json").facts
    assert facts["trial"] == 0
    assert set(facts["files"]) == {"pt2", "onnx", "safetensors"}
    missing = type_in("export", "tiny", "--trial", 0, "--epoch", 7)
    assert missing.code == 2
    assert "Only epochs on the front are kept; status lists them." in missing.err
    unnamed = type_in("export", "tiny", "--epoch", 1)
    assert unnamed.code == 2
    assert "Name the trial, too, by --trial." in unnamed.err


def test_where_nothing_is_feasible_nothing_is_exported(
    type_in: TypeIn, start: Callable[..., Study], tmp_path: Path
) -> None:
    start(tmp_path / "runs").close()
    done = type_in("export", "tiny")
    assert done.code == 4
    assert "no trial of 'tiny' is feasible yet" in done.out + done.err
    assert "next: neurosearch resume tiny" in done.out + done.err


def test_the_exported_network_predicts(type_in: TypeIn, exported: dict[str, Any], tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    np.savez(tmp_path / "new.npz", x=digits.images[:40].astype(np.uint8))
    facts = type_in("predict", exported["folder"], "new.npz", "--json").facts
    assert facts["class_names"] == [str(label) for label in range(10)]
    found = [int(each["class"]) for each in facts["predictions"]]
    assert np.mean(np.equal(found, digits.target[:40])) > 0.5
    shown = type_in("predict", exported["folder"] / "network.onnx", "new.npz")
    assert shown.out.splitlines()[-2:] == [
        "... and 20 more; --out FILE writes all of them",
        f"next: neurosearch predict {exported['folder']}/network.onnx new.npz --out predictions.csv",
    ]


def test_predictions_are_written_to_a_file(type_in: TypeIn, exported: dict[str, Any], tmp_path: Path) -> None:
    np.savez(tmp_path / "new.npz", x=np.zeros((3, 8, 8), np.uint8))
    done = type_in("predict", exported["folder"], "new.npz", "--out", "p.csv")
    assert done.out == "3 predictions written to p.csv\n"
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 4


def test_images_of_any_name_and_size_are_predicted(type_in: TypeIn, exported: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    Image.new("L", (16, 16)).save(folder / "a.png")
    (folder / "a.png").rename(folder / os.fsdecode(b"\xff.png"))
    shown = type_in("predict", exported["folder"], "new", "--resize", "--json").facts
    assert [each["name"] for each in shown["predictions"]] == ["\udcff.png"]
    assert shown["next"] == [f"neurosearch predict {exported['folder']} new --resize --out predictions.csv"]
    assert type_in(*shlex.split(shown["next"][0])[1:]).code == 0
    assert (tmp_path / "predictions.csv").read_text("utf-8").splitlines()[1].startswith("\\udcff.png,")


def test_a_place_that_may_not_be_written_is_told(type_in: TypeIn, finished: Path) -> None:
    with readable_folder() as place:
        assert existing(place) == place
        exporting = as_reader(place, lambda: check_rights(place / "a" / "net"))
        predicting = as_reader(place, lambda: check_place(place / "p.csv"))
        why = f"this user may not write in {place}. Name a folder elsewhere by --out."
        assert exporting == f"CommandError: {place}/a/net cannot be written: {why}"
        assert predicting == f"PredictError: {place}/p.csv may not be written by this user. Name another place."
    Path("file").touch()
    below = type_in("export", "tiny", "--folder", finished, "--out", "file/net")
    assert (below.code, "file is a file, so file/net cannot be made" in below.err) == (2, True)


def test_inputs_that_do_not_fit_are_refused_in_words(type_in: TypeIn, exported: dict[str, Any], tmp_path: Path) -> None:
    np.savez(tmp_path / "wide.npz", x=np.zeros((3, 9, 9), np.uint8))
    for inputs in ("wide.npz", "absent.npz"):
        done = type_in("predict", exported["folder"], inputs)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith("error: ")
    assert type_in("predict", "absent.onnx", "wide.npz").code == 2
    assert type_in("predict", exported["folder"], "wide.npz", "--out", "p.txt").code == 2


@pytest.fixture
def own(start: Callable[..., Study], run_trials: Callable[..., None], tmp_path: Path) -> Path:
    """The archive of a study `tiny` in the folder `runs` beside it, one of whose trials has ended."""
    path = tmp_path / "own.npz"
    save(path, seed=0)
    study = start(tmp_path / "runs", data={"kind": "npz", "path": str(path)})
    _make_ready(study)
    run_trials(study, most=1)
    study.close()
    return path


def save(path: Path, seed: int) -> None:
    x = np.random.default_rng(seed).normal(seed, 1 + seed, size=(90, 4)).astype("float32")
    y = (x[:, 0] > seed).astype(int)
    np.savez(path, x_train=x[:60], y_train=y[:60], x_test=x[60:], y_test=y[60:])


def test_a_network_is_exported_as_it_was_trained_whatever_has_become_of_the_data(
    type_in: TypeIn, own: Path, tmp_path: Path
) -> None:
    def exported(name: str) -> tuple[bytes, Any]:
        done = type_in("export", "tiny", "--folder", tmp_path / "runs", "--trial", 0, "--out", tmp_path / name)
        assert done.code == 0, done.err
        out = tmp_path / name
        return (out / "network.onnx").read_bytes(), json.loads((out / "network.json").read_text())

    before = exported("before")
    save(own, seed=1)
    assert exported("changed") == before
    own.unlink()
    assert exported("gone") == before


def test_a_study_whose_data_has_changed_is_not_resumed(type_in: TypeIn, own: Path, tmp_path: Path) -> None:
    save(own, seed=1)
    done = type_in("resume", "tiny", "--folder", tmp_path / "runs", "--set", "search.trials=9")
    assert done.code == 2
    assert "nothing was started" in done.err
    assert "the source has changed since trials of the study were trained on it: other values" in done.err
    assert "Restore the source as it was, or give a study of the new data another name." in done.err


def test_who_may_not_write_a_study_has_the_log_of_an_export_beside_its_files(tmp_path: Path) -> None:
    with readable_folder() as root:
        folder = StudyFolder(root, "tiny")
        folder.path.mkdir()
        assert log_file(folder, tmp_path / "net") == folder.logs / "export.log"
        assert as_reader(root, lambda: str(log_file(folder, tmp_path / "net"))) == str(tmp_path / "net.log")
