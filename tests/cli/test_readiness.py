from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from neurosearch.config.load import load_study
from neurosearch.search.folders import StudyFolder
from neurosearch.search.study import create_study

TypeIn = Callable[..., Any]


def test_everything_that_is_there_passes(type_in: TypeIn, config: Callable[..., Path], tmp_path: Path) -> None:
    path = config()
    before = sorted(tmp_path.iterdir())
    type_in("check", path.name, "--data")  # traces the network, which is told where the machine is slow
    done = type_in("check", path.name, "--data")
    assert (done.code, done.err) == (0, "")
    assert sorted(tmp_path.iterdir()) == before, "a check leaves nothing behind"


def test_the_classes_are_told_with_their_counts(type_in: TypeIn, config: Callable[..., Path]) -> None:
    line = type_in("check", config(data="{kind: digits}").name, "--data").out.splitlines()[1]
    assert line.startswith("data: digits: 1,258 examples train and validate, 539 test; 10 classes with so many of")
    assert line.endswith("8 (122 + 52), 9 (126 + 54).")
    thinned = config(data="{kind: digits, imbalance: {ratio: 10}}").name
    assert "8 (15 + 52), 9 (12 + 54)." in type_in("check", thinned, "--data").out
    [facts] = type_in("check", thinned, "--data", "--json").facts["data"]
    assert facts["train"][-1] == 12
    assert facts["outputs"] == [str(digit) for digit in range(10)]


def test_of_many_classes_the_first_are_told_and_the_rest_counted(
    type_in: TypeIn, config: Callable[..., Path], tmp_path: Path
) -> None:
    y = np.repeat(np.arange(30), 4)
    x = np.zeros((len(y), 3), np.float32)
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    done = type_in("check", config(data="{kind: npz, path: own.npz}").name, "--data")
    assert f"data: npz {tmp_path / 'own.npz'}: 120 examples train and validate, 120 test; 30 classes" in done.out
    assert "19 (4 + 4) and 10 more." in done.out


def test_quantities_are_told_by_their_names(type_in: TypeIn, config: Callable[..., Path]) -> None:
    path = config(
        data="{kind: function}",
        training="{epochs: 2, loss: mse}",
        search="{trials: 2, objectives: [{metric: rmse, direction: minimize}]}",
    )
    assert (
        "\ndata: function: 40 examples train and validate, 8 test; learned: y.\n"
        in type_in("check", path.name, "--data").out
    )


def test_what_lies_in_a_folder_and_is_not_used_is_a_remark(
    type_in: TypeIn, config: Callable[..., Path], tmp_path: Path
) -> None:
    for number in range(40):
        path = tmp_path / "images" / ("train", "val")[number % 2] / "ab"[number // 2 % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
    done = type_in("check", config(data="{kind: image_folder, path: images}").name, "--data")
    assert done.code == 0
    assert f"note: {tmp_path / 'images' / 'val'} is not used: what validates is held out of train" in done.out
    assert "2 classes with so many of both: a (8 + 2), b (8 + 2)." in done.out


def problems(done: Any) -> list[str]:
    assert done.code == 2
    return [str(line) for line in done.err.splitlines()]


def test_what_is_missing_is_told_at_once_with_its_line(
    type_in: TypeIn, config: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    path = config(
        data="{kind: npz, path: absent.npz}", storage="{folder: file/runs}", search="{gpus_per_trial: 9, trials: 2}"
    )
    told = problems(type_in("check", path.name, "--data"))
    assert told[0].startswith("tiny.yaml:6: data.path: ")
    assert "absent.npz cannot be read: No such file or directory." in told[0]
    assert told[1].startswith("tiny.yaml:7: storage.folder: ")
    assert "file cannot be written: Not a directory. Give another folder." in told[1]
    assert told[2].startswith("tiny.yaml:8: search.gpus_per_trial: one trial asks for 9 GPU")
    assert told[3] == "3 problems found; nothing was started. Mend and check again."
    assert told[4] == "next: neurosearch check tiny.yaml --data"


@pytest.mark.parametrize(
    "judged", ["objectives: [{metric: GROUP, direction: maximize}]", "constraints: [{metric: GROUP, at_least: 0.1}]"]
)
@pytest.mark.parametrize(
    ("group", "counts", "told"),
    [
        ("many_recall", (120, 60, 20), "more than 100 training examples, of which there are none"),
        ("medium_recall", (150, 140, 20), "20 to 100 training examples, of which there are none"),
        ("few_recall", (150, 60, 30), "fewer than 20 training examples, of which there are none"),
        ("middle_recall", (150, 60), "the classes between head and tail, of which there are none"),
    ],
)
def test_a_group_without_classes_judges_no_trial(
    type_in: TypeIn,
    config: Callable[..., Path],
    tmp_path: Path,
    judged: str,
    group: str,
    counts: tuple[int, ...],
    told: str,
) -> None:
    y = np.repeat(np.arange(len(counts)), counts)
    x = np.zeros((len(y), 3), np.float32)
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x, y_test=y)

    def checked(metric: str) -> Any:
        search = f"{{trials: 2, {judged.replace('GROUP', metric)}}}"
        return type_in("check", config(data="{kind: npz, path: own.npz}", search=search).name, "--data")

    done = checked(group)
    assert done.code == 2
    assert f"tiny.yaml:7: search.{judged.partition(':')[0]}[0].metric: {group} is the mean recall of" in done.err
    assert told in done.err
    assert f"validation held out: {', '.join(f'{i} ({n * 4 // 5})' for i, n in enumerate(counts))}. Take" in done.err
    assert checked("head_recall").code == 0


def test_a_compiler_that_is_not_there_is_missed_before_anything_starts(
    type_in: TypeIn, config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    path = config(training="{epochs: 1, compile: true}", search="{gpus_per_trial: 0, trials: 2}")
    (told, *_) = problems(type_in("check", path.name, "--data"))
    place, _, text = told.partition(" training.compile: ")
    assert place.startswith("tiny.yaml:")
    assert text.startswith("there is no C++ compiler no-such-compiler on this machine. Install one")
    assert text.endswith("or set compile: false.")
    assert type_in("check", config(training="{epochs: 1}").name, "--data").code == 0


def save(path: Path, **arrays: Any) -> None:
    rng = np.random.default_rng(0)
    good = {"x_train": rng.random((40, 6)), "y_train": np.arange(40) % 4, "x_test": rng.random((8, 6))}
    np.savez(path, **{**good, "y_test": np.arange(8) % 4, **arrays})


@pytest.mark.parametrize(
    ("arrays", "sections", "field", "told"),
    [
        ({"y_train": np.zeros(40, int), "y_test": np.zeros(8, int)}, {}, "data.path", "class"),
        ({"y_train": np.arange(39) % 4}, {}, "data.path", "y_train"),
        ({"x_test": np.zeros((8, 5))}, {}, "data.path", "x_test"),
        ({"x_train": np.full((40, 6), np.nan)}, {}, "data.path", "x_train"),
        ({"y_train": np.where(np.arange(40) == 0, 3, np.arange(40) % 3)}, {}, "data.validation_share", "class 3"),
        ({}, {"data": "{kind: npz, path: own.npz, imbalance: {ratio: 50}}"}, "data.imbalance.ratio", "ratio of 50"),
        ({}, {"model": "{kind: cnn, widths: [4]}"}, "model.kind", "cnn needs images"),
        ({}, {"training": "{epochs: 1, augmentation: crop_flip}"}, "training.augmentation", "need images"),
        ({}, {"size_limit": "{parameters: 3}"}, "size_limit", "with one neuron in every hidden layer"),
    ],
)
def test_data_that_cannot_be_used_is_told_with_its_field(
    type_in: TypeIn,
    config: Callable[..., Path],
    tmp_path: Path,
    arrays: dict[str, Any],
    sections: dict[str, str],
    field: str,
    told: str,
) -> None:
    save(tmp_path / "own.npz", **arrays)
    path = config(**{"data": "{kind: npz, path: own.npz}", **sections})
    found = problems(type_in("check", path.name, "--data"))
    section = field.partition(".")[0]
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if text.startswith(section))
    assert any(each.startswith(f"tiny.yaml:{line}: {field}: ") and told in each for each in found), found


def test_the_option_whose_data_is_wrong_is_named(type_in: TypeIn, config: Callable[..., Path], tmp_path: Path) -> None:
    save(tmp_path / "own.npz")
    path = config(data="{kind: npz, path: {search: choice, options: [own.npz, gone.npz]}}")
    (problem, *_) = problems(type_in("check", path.name, "--data"))
    assert problem.startswith("tiny.yaml:7: data.path.options[1]: ")


def test_a_used_name_with_another_space_is_a_problem(
    type_in: TypeIn, config: Callable[..., Path], finished: Path
) -> None:
    path = config(storage=f"{{folder: {finished}}}")
    (problem, *_) = problems(type_in("check", path.name, "--data"))
    assert problem.startswith("tiny.yaml:1: name: the study 'tiny'")
    assert "model.widths" in problem


def test_a_disk_without_room_is_a_problem(
    type_in: TypeIn, config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 2**20))
    (problem, *_) = problems(type_in("check", config().name, "--data"))
    assert "storage.folder: 1 MiB are free at" in problem
    assert "Make room, or give a folder on another disk." in problem


def test_what_stops_nothing_is_a_remark(type_in: TypeIn, config: Callable[..., Path]) -> None:
    path = config(tracking="{uri: 'http://127.0.0.1:1'}", search="{trials: 2, cpus_per_trial: 5000}")
    done = type_in("check", path.name, "--data", "--json")
    assert done.code == 0
    cores, server = done.facts["notes"]
    assert cores.startswith("trials that run at once ask for 5000 cores and share the ")
    assert server.startswith("the tracking server http://127.0.0.1:1 does not answer. The search runs all the same")
    assert "neurosearch sync tiny" in server


def save_weights(path: Path, widths: tuple[int, ...], num_outputs: int) -> None:
    import torch

    from neurosearch.models.mlp import Mlp, MlpShape

    torch.save(Mlp(MlpShape((1, 8, 8), widths, num_outputs, "relu", "none", 0.0)).state_dict(), path)


def test_what_pretrained_weights_leave_out_is_remarked(
    type_in: TypeIn, config: Callable[..., Path], tmp_path: Path
) -> None:
    save_weights(tmp_path / "a.pt", (6,), 5)
    done = type_in("check", config(model="{kind: mlp, widths: [6], weights: a.pt}").name, "--data", "--json")
    (note,) = done.facts["notes"]
    assert note.startswith("model.weights: 2 tensors are taken from the file; the class head starts anew (layers.3.w")


def test_weights_of_other_widths_are_a_problem_of_their_field(
    type_in: TypeIn, config: Callable[..., Path], tmp_path: Path
) -> None:
    save_weights(tmp_path / "a.pt", (7,), 10)
    path = config(model="{kind: mlp, widths: [{search: choice, options: [7, 6]}], weights: a.pt}")
    (problem, *_) = problems(type_in("check", path.name, "--data"))
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if text.startswith("model"))
    assert problem.startswith(f"tiny.yaml:{line}: model.weights: ")
    assert "layers.1.weight (7 x 64 in the file, 6 x 64 in the network)" in problem


def test_a_head_that_some_trials_draw_anew_must_be_there(
    type_in: TypeIn, config: Callable[..., Path], tmp_path: Path
) -> None:
    x, y = np.random.default_rng(0).integers(0, 256, (20, 24, 24, 3), np.uint8), np.arange(20) % 2
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    path = config(
        data="{kind: npz, path: own.npz}",
        model="{kind: torchvision, name: squeezenet1_1}",
        training="{epochs: 4, zap_period_epochs: {search: int, low: 0, high: 2}}",
        growth="{kind: static}",
    )
    first = problems(type_in("check", path.name, "--data"))[0]
    assert "training.zap_period_epochs.high: it needs a network whose outputs come straight from" in first


@pytest.mark.parametrize(
    ("name", "told"),
    [("vit_b_16", "model.name: vit_b_16 cannot read images of 24 x 24 pixels"), ("regnet_y_400mf", "")],
)
def test_a_network_of_torchvision_must_read_images_of_this_size(
    name: str, told: str, type_in: TypeIn, config: Callable[..., Path], tmp_path: Path
) -> None:
    x, y = np.random.default_rng(0).integers(0, 256, (20, 24, 24, 3), np.uint8), np.arange(20) % 2
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    path = config(
        data="{kind: npz, path: own.npz}",
        model=f"{{kind: torchvision, name: {name}}}",
        training="{epochs: 4}",
        growth="{kind: static}",
    )
    done = type_in("check", path.name, "--data")
    assert done.code == (2 if told else 0), done.err
    assert told in done.out + done.err


def test_broken_images_within_their_share_are_a_remark(
    type_in: TypeIn, config: Callable[..., Path], tmp_path: Path
) -> None:
    for number in range(40):
        path = tmp_path / "images" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
    path.write_bytes(b"no image")
    data = "kind: image_folder, path: images"
    refused = problems(type_in("check", config(data=f"{{{data}}}").name, "--data"))
    assert "data.broken_share: 1 of 40 images are broken" in refused[0]
    assert str(path) in refused[0]
    done = type_in("check", config(data=f"{{{data}, broken_share: 0.1}}").name, "--data")
    assert done.code == 0
    assert f"broken images are left out, 1 of them: {path}." in done.out + done.err


def test_a_name_that_a_study_with_trials_has_is_gone_on_with_and_not_searched_anew(
    type_in: TypeIn, config: Callable[..., Path], tmp_path: Path
) -> None:
    loaded = load_study(config())
    study = create_study(StudyFolder(tmp_path / "runs", "tiny"), loaded)
    free = type_in("check", "tiny.yaml", "--data", "--json").facts
    assert (free["notes"], free["next"]) == ([], ["neurosearch search tiny.yaml"])
    study.ask()
    study.close()
    taken = type_in("check", "tiny.yaml", "--data", "--json").facts
    assert taken["notes"] == ["a study of this name and space is there; `neurosearch resume tiny` goes on with it."]
    assert taken["next"] == ["neurosearch resume tiny", "neurosearch status tiny"]


def test_an_earlier_study_that_is_not_there_is_told_by_the_check(type_in: TypeIn, config: Callable[..., Path]) -> None:
    done = type_in("check", config(search="{trials: 2, warm_start: {study: nowhere}}").name, "--data")
    assert done.code == 2
    [told] = [line for line in done.err.splitlines() if line.startswith("tiny.yaml")]
    assert told.startswith("tiny.yaml:7: search.warm_start: there is no study 'nowhere' in runs.")
    assert told.endswith("or another search.warm_start.folder.")
