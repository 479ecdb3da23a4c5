import pytest

from neurosearch.config.base import ConfigError
from neurosearch.config.overrides import with_overrides
from neurosearch.config.yaml_source import Source, parse_yaml

TEXT = "a: {b: 1, c: [1, {d: 2}]}\ne: text\nf:\n"


def overridden(*overrides: str) -> Source:
    return with_overrides(parse_yaml(TEXT, "f.yaml"), overrides)


@pytest.mark.parametrize(
    ("override", "values"),
    [
        ("a.b=5", {"b": 5, "c": [1, {"d": 2}]}),
        ("a.b=1e-3", {"b": 0.001, "c": [1, {"d": 2}]}),
        ("a.b={search: int, low: 1, high: 2}", {"b": {"search": "int", "low": 1, "high": 2}, "c": [1, {"d": 2}]}),
        ("a.b=", {"b": None, "c": [1, {"d": 2}]}),
        ("a.b=x=y", {"b": "x=y", "c": [1, {"d": 2}]}),
        ("a.c[0]=7", {"b": 1, "c": [7, {"d": 2}]}),
        ("a.c[1].d=7", {"b": 1, "c": [1, {"d": 7}]}),
        ("a.g.h=7", {"b": 1, "c": [1, {"d": 2}], "g": {"h": 7}}),
        ("a.c=off", {"b": 1, "c": "off"}),
    ],
)
def test_an_override_replaces_one_value(override: str, values: object) -> None:
    assert overridden(override).values["a"] == values


def test_the_last_override_wins() -> None:
    assert overridden("a.b=5", "a.b=6").values["a"]["b"] == 6


def test_problems_name_the_option_that_said_it() -> None:
    source = overridden("a.c=[1, 2]")
    assert source.place(("a", "c", 1)) == "--set a.c=[1, 2]"
    assert source.place(("a", "b")) == "f.yaml:1"


def test_the_source_itself_stays_as_it_was() -> None:
    source = parse_yaml(TEXT, "f.yaml")
    with_overrides(source, ("a.b=5", "a.c[1].d=7"))
    assert source == parse_yaml(TEXT, "f.yaml")


def test_all_wrong_overrides_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        overridden("a.b", "=3", "a..b=3", "a.b=[", "a.b=!x 3", "e.x=3", "e[0]=3", "a.c[5]=3", "a.c.x=3", "f.x.y=3")
    assert str(caught.value).split("\n") == [
        "--set a.b: write it as section.field=value, such as training.epochs=5.",
        "--set =3: write it as section.field=value, such as training.epochs=5.",
        "--set a..b=3: write it as section.field=value, such as training.epochs=5.",
        "--set a.b=[: is not valid YAML: expected the node content, but found '<stream end>'. Mend that line.",
        "--set a.b=!x 3: the tag !x is refused: write plain YAML values.",
        "--set e.x=3: e.x: 'x' would stand inside a value that is not a section; check the dotted name.",
        "--set e[0]=3: e[0]: there is no item [0] to replace; check the dotted name.",
        "--set a.c[5]=3: a.c[5]: there is no item [5] to replace; check the dotted name.",
        "--set a.c.x=3: a.c.x: 'x' would stand inside a value that is not a section; check the dotted name.",
        "--set f.x.y=3: f.x.y: 'x' would stand inside a value that is not a section; check the dotted name.",
    ]
