from pathlib import Path

import pytest

from neurosearch.report.material import Material, material_of
from neurosearch.report.reproduce import reproduce_section
from tests.made_studies import MadeStudy, config_with


def made(root: Path) -> Material:
    return material_of(MadeStudy(root, config_with(**{"search.trials": 2})).search(2).done())


def commands(material: Material) -> list[str]:
    page = reproduce_section(material).html()
    return page.partition('<pre tabindex="0"><code>')[2].partition("</code>")[0].splitlines()


def test_the_commands_find_a_study_outside_the_usual_folder(tmp_path: Path) -> None:
    material = made(tmp_path)
    assert material.best is not None
    assert commands(material)[2:] == [
        f"neurosearch best made --folder {tmp_path}",
        f"neurosearch export made --trial {material.best.number} --folder {tmp_path}",
        f"neurosearch report made --folder {tmp_path}",
    ]


def test_the_usual_folder_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert commands(made(Path("runs")))[2] == "neurosearch best made"
