import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from neurosearch.config import kinds as room
from neurosearch.config.growth import PeriodicFields
from neurosearch.config.kinds import kinds

OWN_KINDS = """
from typing import Annotated, Literal
from pydantic import Field
from neurosearch.config.base import Count, Fields
from neurosearch.config.data import DataFields
from neurosearch.config.kinds import Conflict, Kind


class MazeFields(DataFields):
    kind: Literal["maze"] = "maze"
    rooms: Count = Field(description="Rooms of the maze")


class StarFields(Fields):
    kind: Literal["star"] = "star"
    rays: Count = Field(5, description="Rays of the star")


class TideFields(Fields):
    kind: Literal["tide"] = "tide"
    height: Annotated[float, Field(gt=0.0, strict=True)] = 1.0


def rays_fit(config):
    if config.model.rays > config.data.rooms:
        yield Conflict(("model.rays", "data.rooms"), "a ray needs a room. Lower rays or raise rooms.")


def build(*_arguments):
    raise NotImplementedError


MAZE, STAR, TIDE = Kind(MazeFields, build), Kind(StarFields, build, rules=(rays_fit,)), Kind(TideFields, build)
"""
ENTRY_POINTS = """\
[neurosearch.data]
maze = own_kinds:MAZE
[neurosearch.models]
star = own_kinds:STAR
[neurosearch.growth]
tide = own_kinds:TIDE
"""
CONFIG = """\
name: own
data: {kind: maze, rooms: 8, validation_share: 0.1}
model: {kind: star, rays: {search: int, low: 2, high: 8}}
training: {epochs: 3}
growth: {search: one_of, options: [{kind: static}, {kind: tide, height: {search: uniform, low: 1, high: 2}}]}
"""


def install(folder: Path, module: str = OWN_KINDS, entry_points: str = ENTRY_POINTS) -> None:
    """Puts a package into a folder as an installer would."""
    (folder / "own_kinds.py").write_text(module)
    metadata = folder / "own_kinds-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: own-kinds\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(entry_points)


def check(folder: Path, text: str = CONFIG) -> subprocess.CompletedProcess[str]:
    """Runs `neurosearch check` in a process that finds the packages in a folder."""
    (folder / "own.yaml").write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "neurosearch", "check", "own.yaml"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def test_our_own_kinds_come_by_entry_points() -> None:
    assert set(kinds("models")) == {"mlp", "cnn", "resnet_cifar", "torchvision", "vit"}
    assert set(kinds("data")) >= {"digits", "npz"}
    assert set(kinds("growth")) >= {"static", "periodic", "nimble"}
    assert kinds("growth")["periodic"].fields is PeriodicFields


def test_kinds_of_another_package_are_checked_as_ours_are(tmp_path: Path) -> None:
    install(tmp_path)
    done = check(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Study own: 20 trials over 3 hyperparameters" in done.stdout


def test_mistakes_in_fields_and_rules_of_another_package_are_told(tmp_path: Path) -> None:
    install(tmp_path)
    text = CONFIG.replace("rooms: 8", "rooms: 4, romms: 3").replace("height: {", "hight: 3, height: {")
    done = check(tmp_path, text)
    assert done.returncode == 2
    assert "own.yaml:2: data.romms: unknown key. Did you mean 'rooms'?" in done.stderr
    assert "own.yaml:3: model.rays and data.rooms: a ray needs a room. Lower rays or raise rooms." in done.stderr
    assert "own.yaml:5: growth.options[1].hight: unknown key. Did you mean 'height'?" in done.stderr
    unknown = check(tmp_path, CONFIG.replace("kind: maze", "kind: mazes")).stderr
    assert "unknown kind 'mazes'. Did you mean 'maze'? Kinds: " in unknown


@pytest.mark.parametrize(
    ("module", "entry_points", "told"),
    [
        (OWN_KINDS, "[neurosearch.data]\nmaze = own_kinds:MazeFields\n", "names own_kinds:MazeFields, which is a"),
        (OWN_KINDS, "[neurosearch.data]\ndigits = own_kinds:MAZE\n", "two installed packages offer the kind 'digits'"),
        (OWN_KINDS, "[neurosearch.data]\nmaze = own_kinds:GONE\n", "'maze' of group neurosearch.data cannot be loaded"),
        ("import nothing_there\n", ENTRY_POINTS, "cannot be loaded: ModuleNotFoundError: No module named 'nothing_"),
    ],
)
def test_a_broken_package_is_named_with_the_remedy(tmp_path: Path, module: str, entry_points: str, told: str) -> None:
    install(tmp_path, module, entry_points)
    done = check(tmp_path)
    assert done.returncode == 3
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_an_entry_point_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def entry_points(group: str) -> list[EntryPoint]:
        asked.append(group)
        return [EntryPoint("mlp", "neurosearch.build.models:MLP", group)]

    uncached: Callable[..., object] = kinds.__wrapped__
    monkeypatch.setattr(room, "entry_points", entry_points)
    assert uncached("models") == {"mlp": kinds("models")["mlp"]}
    assert asked == ["neurosearch.models"]
    assert kinds("models") is kinds("models")
