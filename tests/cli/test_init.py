import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

TypeIn = Callable[..., Any]


def test_without_questions_everything_has_a_default_and_passes_the_check(type_in: TypeIn) -> None:
    facts = type_in("init", "--json").facts
    assert (facts["config"], facts["study"]) == ("my-study.yaml", "my-study")
    assert facts["next"][0] == "neurosearch check my-study.yaml --data"
    assert type_in("check", "my-study.yaml", "--data").code == 0
    assert Path("neurosearch.schema.json").is_file()


def test_nothing_is_overwritten(type_in: TypeIn) -> None:
    Path("a.yaml").write_text("mine")
    Path("my-study.yaml").write_text("mine")
    for words in (["a.yaml"], []):
        done = type_in("init", *words)
        assert done.code == 2
        assert "is there already, and is not overwritten" in done.err
    assert Path("a.yaml").read_text() == Path("my-study.yaml").read_text() == "mine"
    assert not Path("neurosearch.schema.json").exists()


def test_options_say_it_all(type_in: TypeIn) -> None:
    x, y = np.zeros((40, 8, 8), np.uint8), np.arange(40) % 2
    np.savez("mine.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    words = ("--data", "npz", "--path", "../mine.npz", "--model", "cnn", "--limit", "neurons=30", "--epochs", 3)
    done = type_in(
        "init", "new/own.yaml", *words, "--trials", 2, "--field", "data.layout=HW", "--field", "model.dropout=0.1"
    )
    assert done.code == 0
    text = Path("new/own.yaml").read_text()
    for line in ("name: own", "size_limit: {neurons: 30}", "  path: ../mine.npz", "  layout: HW", "  dropout: 0.1"):
        assert f"\n{line}\n" in text
    assert type_in("check", "new/own.yaml", "--data").code == 0


def test_a_path_is_typed_as_seen_from_here_and_written_as_seen_from_the_config(type_in: TypeIn) -> None:
    x, y = np.zeros((40, 8, 8), np.uint8), np.arange(40) % 2
    np.savez("my data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    done = type_in("init", "sub/b.yaml", "--data", "npz", "--path", "my data.npz")
    assert "data.path is ../my data.npz: paths in a config start from its own folder." in done.out
    assert '\n  path: "../my data.npz"\n' in Path("sub/b.yaml").read_text()
    assert type_in("check", "sub/b.yaml", "--data").code == 0


@pytest.mark.parametrize(
    ("out", "words", "line"),
    [
        ("a.yaml", ("npz", "--path", "./gone.npz"), "path: ./gone.npz"),
        ("sub/a.yaml", ("npz", "--path", "gone.npz"), "path: ../gone.npz"),
        ("sub/a.yaml", ("npz", "--path", "/gone.npz"), "path: /gone.npz"),
        ("sub/a.yaml", ("npz", "--path", "~/gone.npz"), 'path: "~/gone.npz"'),
        ("sub/a.yaml", ("npz", "--path", "s3://bucket/gone.npz"), 'path: "s3://bucket/gone.npz"'),
        (
            "sub/a.yaml",
            ("image_list", "--path", "s3://bucket", "--field", "data.train_list=t.txt"),
            "train_list: t.txt",
        ),
        (
            "sub/a.yaml",
            ("image_list", "--path", "s3://bucket", "--field", "data.train_list=./t.txt"),
            "train_list: ../t.txt",
        ),
        ("sub/a.yaml", ("image_list", "--path", "b", "--field", "data.train_list=t.txt"), "train_list: ../t.txt"),
        ("sub/a.yaml", ("torchvision", "--path", "sets", "--field", "data.name=MNIST"), "path: ../sets"),
    ],
)
def test_files_are_named_as_the_config_sees_them(type_in: TypeIn, out: str, words: tuple[str, ...], line: str) -> None:
    assert type_in("init", out, "--data", *words).code == 0
    assert f"\n  {line}\n" in Path(out).read_text()


def test_a_link_to_the_data_stays_a_link(type_in: TypeIn) -> None:
    Path("store/v1").mkdir(parents=True)
    Path("store/v1/x.npz").touch()
    Path("now").symlink_to("store/v1")
    Path("x.npz").symlink_to("store/v1/x.npz")
    for out, typed, written in (
        ("a.yaml", "x.npz", "x.npz"),
        ("b.yaml", "now/x.npz", "now/x.npz"),
        ("sub/c.yaml", "now/x.npz", "../now/x.npz"),
        ("d.yaml", "now/../v1/x.npz", "store/v1/x.npz"),  # what is beside the folder that the link leads to
    ):
        assert type_in("init", out, "--data", "npz", "--path", typed).code == 0
        assert f"\n  path: {written}\n" in Path(out).read_text()


@pytest.mark.parametrize("out", ["/proc/g.yaml", "file/g.yaml", f"folder/{'g' * 300}.yaml"])
def test_a_file_that_cannot_be_written_is_told(type_in: TypeIn, out: str) -> None:
    Path("file").write_text("")
    done = type_in("init", out, "--name", "g")
    assert done.code == 2
    assert out.rpartition("/")[0] in done.err
    assert "Name " in done.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--data", "npz"), "--path is needed: path: Path of the archive"),
        (("--data", "nzp"), "unknown kind of data 'nzp'. Did you mean 'npz'?"),
        (("--model", "torchvision"), "--field model.name=... is needed"),
        (("--path", "x.npz"), "data of kind digits lies nowhere"),
        (("--name", "Big Name"), "'Big Name' is no name of a study"),
        (("--limit", "20000"), "write it as parameters=20000"),
        (("--limit", "params=20000"), "unknown limit 'params'"),
        (("--limit", "parameters=many"), "no whole number"),
        (("--limit", "parameters=²"), "no whole number"),
        (("--limit", f"parameters={'9' * 5000}"), "no whole number"),
        (("--field", "growth.kind=static"), "write data.NAME=VALUE or model.NAME=VALUE"),
        (("--field", "data.split_seed=-1"), "--field data.split_seed=-1: data.split_seed: must be at least 0"),
        (("--field", "data.nonsense=1"), "--field data.nonsense=1: data.nonsense: unknown key"),
    ],
)
def test_what_will_not_do_is_told_and_nothing_is_written(type_in: TypeIn, words: tuple[str, ...], told: str) -> None:
    done = type_in("init", "a.yaml", *words)
    assert done.code == 2
    assert told in done.err
    assert not Path("a.yaml").exists()


def test_a_terminal_is_asked_until_the_answer_will_do(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "neurosearch", "init"], cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    said = ""
    for question, answer in (
        ("Name of the study", "No Name"),
        ("no name of a study", "asked"),
        ("Kind of data", ""),
        ("Kind of model", ""),
        ("What can be deployed", "neurons=40"),
        ("Epochs", "2"),
        ("Trials", ""),
        ("next: ", None),
    ):
        said = _until(ours, question, said)
        if answer is not None:
            os.write(ours, f"{answer}\n".encode())
    assert process.wait(timeout=30) == 0
    text = (tmp_path / "asked.yaml").read_text()
    assert "size_limit: {neurons: 40}" in text
    assert "trials: 30" in text


def _until(terminal: int, text: str, said: str) -> str:
    """Reads until a text has come; returns what came after it."""
    deadline = time.monotonic() + 30
    while text not in said:
        assert time.monotonic() < deadline, said
        if select.select([terminal], [], [], 0.2)[0]:
            said += os.read(terminal, 4096).decode(errors="replace")
    return said.partition(text)[2]
