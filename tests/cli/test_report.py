import json
import math

import pytest

from neurosearch.cli.report import FAILED, NOTHING_FEASIBLE, WRONG, Report, finite, neurosearch, say, show


def test_people_see_lines_and_the_next_commands(capsys: pytest.CaptureFixture[str]) -> None:
    show(Report({"a": 1}, ("one", "two"), next=("do this", "do that", "or that")), as_json=False)
    assert capsys.readouterr() == ("one\ntwo\nnext: do this\n  or: do that\n  or: or that\n", "")


def test_programs_see_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    show(Report({"a": math.nan, "b": (1, 2)}, ("one",), next=("do this",)), as_json=True)
    out, err = capsys.readouterr()
    assert (json.loads(out), err) == ({"a": None, "b": [1, 2], "next": ["do this"]}, "")
    assert out.count("\n") == 1


@pytest.mark.parametrize(
    ("code", "is_wrong"), [(0, False), (WRONG, True), (FAILED, True), (130, True), (NOTHING_FEASIBLE, False)]
)
def test_what_is_wrong_goes_to_the_standard_error_output(
    capsys: pytest.CaptureFixture[str], code: int, is_wrong: bool
) -> None:
    show(Report({}, ("text",), code=code), as_json=False)
    out, err = capsys.readouterr()
    assert (out, err) == (("", "text\n") if is_wrong else ("text\n", ""))


def test_json_has_no_word_for_infinity() -> None:
    assert finite({"a": [math.inf, 1.5, {"b": -math.inf}], 3: None}) == {"a": [None, 1.5, {"b": None}], "3": None}


def test_a_command_is_quoted_for_the_shell() -> None:
    assert (
        neurosearch("check", "my file.yaml", "--set", "a=[1, 2]") == "neurosearch check 'my file.yaml' --set 'a=[1, 2]'"
    )


def test_a_line_said_on_the_way_goes_to_the_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    say("trial 3")
    assert capsys.readouterr() == ("trial 3\n", "")
