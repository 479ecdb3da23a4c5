import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from neurosearch.config.schema import schema_text

TypeIn = Callable[..., Any]


def test_what_is_printed_is_the_schema_and_nothing_else(type_in: TypeIn) -> None:
    done = type_in("schema")
    assert (done.code, done.out, done.err) == (0, schema_text(), "")


def test_the_schema_can_be_written_to_a_file(type_in: TypeIn, tmp_path: Path) -> None:
    done = type_in("schema", "--out", tmp_path / "mine.json")
    assert "# yaml-language-server: $schema=mine.json" in done.out
    assert (tmp_path / "mine.json").read_text() == schema_text()


def test_a_file_that_cannot_be_written_is_a_mistake_that_is_told(type_in: TypeIn, tmp_path: Path) -> None:
    done = type_in("schema", "--out", "absent/mine.json")
    assert done.code == 2
    assert "error: absent/mine.json cannot be written: No such file or directory. Name another file" in done.err
    assert "cannot be written: Is a directory" in type_in("schema", "--out", tmp_path).err


def test_programs_get_the_schema_as_a_fact(type_in: TypeIn) -> None:
    facts = type_in("schema", "--json").facts
    assert facts["schema"] == json.loads(schema_text())
    assert Path(facts["shipped"]).is_file()
