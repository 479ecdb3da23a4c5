import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosearch.config.base import ConfigError
from neurosearch.config.yaml_source import Source, parse_yaml, read_yaml, to_yaml


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "f.yaml")
    (problem,) = caught.value.problems
    return str(problem)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        (".5", 0.5),
        ("3", 3),
        ("010", 10),
        ("true", True),
        ("off", "off"),
        ("no", "no"),
        ("yes", "yes"),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("~", None),
        ("", None),
        (".inf", math.inf),
    ],
)
def test_values_are_read_as_yaml_1_2_reads_them(written: str, value: object) -> None:
    assert parse_yaml(f"a: {written}", "f.yaml").values == {"a": value}


def test_every_path_knows_its_line() -> None:
    source = parse_yaml("a: 1\nb:\n  c:\n    - 1\n    - {d: 2}\n", "f.yaml")
    assert source.place(("b", "c", 1, "d")) == "f.yaml:5"
    assert source.place(("b", "c")) == "f.yaml:3"


def test_what_is_missing_stands_where_it_would_have_to_be() -> None:
    source = parse_yaml("a: 1\nb:\n  c: 2\n", "f.yaml")
    assert source.place(("b", "x", "y")) == "f.yaml:2"
    assert source.place(("x",)) == "f.yaml:1"
    assert Source({}, {}, "f.yaml").place(("x",)) == "f.yaml"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "f.yaml: must be a mapping"),
        ("- 1", "f.yaml: must be a mapping"),
        ("a: [", "f.yaml:1: is not valid YAML"),
        ("a: 1\n\tb: 2", "f.yaml:2: is not valid YAML"),
        ("a: *x", "f.yaml:1: is not valid YAML: found undefined alias 'x'"),
        ("a: 1\n---\nb: 2", "f.yaml:2: is not valid YAML: found another document"),
        ("a: 1\nb: \x01", r"f.yaml:2: holds the control character '\x01'"),
        ("a: " + "[" * 3000, "f.yaml: is nested too deeply"),
        ("a: &x [*x]", "f.yaml:1: is nested deeper than 100 levels; an alias may hold itself"),
        ("!!python/object:os.system {a: 1}", "f.yaml:1: the tag !!python/object:os.system is refused"),
    ],
)
def test_what_is_no_plain_mapping_is_refused_with_its_line(text: str, told: str) -> None:
    assert refused(text).startswith(told)


def test_an_alias_bomb_is_refused_before_it_is_expanded() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert "holds more than 20000 values once its aliases are expanded" in refused("\n".join(lines))


def test_an_alias_repeats_its_value() -> None:
    assert parse_yaml("a: &x [1, 2]\nb: *x", "f.yaml").values == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: 2\na: 3", "f.yaml:3: the key 'a' stands here twice: keep one."),
        ("a: 1\nb: !!python/name:os.system x", "f.yaml:2: the tag !!python/name:os.system is refused"),
        ("a: !mine 3", "f.yaml:1: the tag !mine is refused"),
        ("a: !!set {x}", "f.yaml:1: the tag !!set is refused"),
        ("a: !!map 3", "f.yaml:1: the tag !!map is refused"),
        ("a: !!int five", "f.yaml:1: 'five' cannot be read as !!int"),
        ("a: !!bool five", "f.yaml:1: 'five' cannot be read as !!bool"),
        ("a: " + "9" * 5000, "f.yaml:1: '9999999999999999999999999999999999999999' cannot be read as !!int"),
        ("? [1]\n: 2", "f.yaml:1: a key must be a plain word."),
    ],
)
def test_what_is_wrong_in_the_text_is_noted_and_the_rest_is_read(text: str, told: str) -> None:
    (problem,) = parse_yaml(text, "f.yaml").problems
    assert str(problem).startswith(told)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9")
    for name, told in (
        ("absent.yaml", "cannot be read: No such file or directory. Check the path."),
        (".", "cannot be read: Is a directory. Check the path."),
        ("latin.yaml", "is not UTF-8 text. Save it as UTF-8."),
    ):
        with pytest.raises(ConfigError) as caught:
            read_yaml(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name}: {told}"


text = st.text(st.characters(codec="utf-8"))
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(text, plain, max_size=4))
def test_plain_values_survive_being_written_as_yaml(values: dict[str, object]) -> None:
    read = parse_yaml(to_yaml(values), "f.yaml")
    assert read.values == values
    assert not read.problems
