"""What the pages say works: every command parses, every config is valid, and pages are done from top to bottom."""

import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

from neurosearch.config.load import study_from_text
from neurosearch.config.yaml_source import parse_yaml
from tests.pages import ENDLESS, EXPECTED, ROOT, Block, blocks, endless, pages, without_comment

BLOCKS = [block for page in pages() for block in blocks(page)]
COMMANDS = [(block, command) for block in BLOCKS for command in block.commands]
_INLINE = re.compile(r"`(neurosearch [^`\n]+)`")
_LINK = re.compile(r"\]\((?!https?:)(?P<page>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")
_SECONDS = 600


def name(value: object) -> str | None:
    if isinstance(value, Block):
        return f"{value.page}:{value.line}"
    return value if isinstance(value, str) else None


def parse(command: str) -> None:
    """Has the command line read a command as it is written, without running it.

    Raises:
        Exception: It does not know a command, an option or a value of it.
    """
    import shlex

    import typer

    from neurosearch.cli.app import app

    group: Any = typer.main.get_command(app)
    plain = re.sub(r"\b[NE]\b", "1", re.sub(r"\.\.\.|[\[\]]", "", command))  # N and E stand for numbers
    words = shlex.split(plain, comments=True)[1:]
    while words and words[0] in getattr(group, "commands", {}):
        group = group.commands[words.pop(0)]
    assert not hasattr(group, "commands") or not words or words[0].startswith("-"), f"there is no command {words[0]!r}"
    if words and "--help" not in words and not words[0].startswith("--install"):
        group.make_context(command, words)


@pytest.mark.parametrize(("block", "command"), COMMANDS, ids=name)
def test_our_own_commands_are_known_to_the_command_line(block: Block, command: str) -> None:
    if command.startswith("neurosearch "):
        parse(command)


def test_commands_within_sentences_are_known_to_the_command_line() -> None:
    for page in pages():
        for found in _INLINE.finditer(page.read_text(encoding="utf-8")):
            parse(found[1])


def anchors(page: Path) -> set[str]:
    """Returns the anchors of a page's headings: small, without marks, dashes for blanks."""
    text = re.sub(r"(?ms)^```.*?^```", "", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", found).lower().replace(" ", "-") for found in re.findall(r"(?m)^#+ (.+)$", text)}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_lead_to_pages_and_headings(page: Path) -> None:
    dead = []
    for found in _LINK.finditer(page.read_text(encoding="utf-8")):
        target = (page.parent / found["page"]).resolve() if found["page"] else page
        if not target.exists() or (found["anchor"] and found["anchor"] not in anchors(target)):
            dead.append(found[0])
    assert dead == []


def test_every_command_stands_in_a_block_that_says_it_is_for_a_shell() -> None:
    unmarked = [
        block for block in BLOCKS if not block.language and re.search(r"(?m)^(\$ )?(neurosearch|make|pip) ", block.text)
    ]
    assert [f"{block.page}:{block.line}" for block in unmarked] == []


def test_commands_that_never_end_are_started_and_ended_by_a_test() -> None:
    for command, test in ENDLESS.items():
        words = command.split()[-1]
        assert words in (ROOT / test).read_text(encoding="utf-8"), f"{test} does not start {command}"


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.language == "yaml" and not each.reason], ids=name)
def test_a_config_is_valid_and_a_part_of_one_fits_a_config(block: Block, tmp_path: Path) -> None:
    base = {
        "name": "page",
        "data": {"kind": "digits"},
        "model": {"kind": "mlp", "widths": [8]},
        "training": {"epochs": 20},
        "growth": {"kind": "static"},
    }
    values = {**base, **parse_yaml(block.text, block.page).values}
    study_from_text(json.dumps(values), tmp_path / "page.yaml")


#: Pages that are done as a reader does them, one after the other in the same folder; with `--small` studies get few
#: trials, after what is written was checked as it is.
TOGETHER = {
    "tutorial": ("docs/tutorial.md",),
    "README": (
        "README.md",
        "docs/report.md",
        "docs/mlflow.md",
        "docs/notebooks.md",
        "docs/own-data.md",
        "docs/choosing-a-size.md",
        "--small",
    ),
    "own kinds": ("docs/own-kinds.md", "--small"),
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment of its own, which sees all that this one has: pages install into it."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    seen = [path for path in sys.path if path.endswith("site-packages")]
    (site / "seen.pth").write_text("\n".join(f"import site; site.addsitedir({path!r})" for path in seen))
    for name, module in {"pip": "pip", "mlflow": "mlflow", "neurosearch": "neurosearch"}.items():
        (folder / "bin" / name).write_text(f'#!/bin/sh\nexec "{folder}/bin/python" -m {module} "$@"\n')
        (folder / "bin" / name).chmod(0o755)
    return folder / "bin"


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("words", TOGETHER.values(), ids=TOGETHER)
def test_what_pages_say_works_from_top_to_bottom(words: tuple[str, ...], environment: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [environment / "python", ROOT / "tests" / "pages.py", *words],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{environment}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    for step in steps:
        told = f"{step['page']}:{step['line']}: {step['what']}\n{step['output']}\n{done.stderr}"
        assert step["code"] == EXPECTED.get(step["what"], 0), told
    given = [block for page in words for block in BLOCKS if block.page == page and not block.reason]
    asked = [command for block in given for command in block.commands]
    assert [step["what"] for step in steps if step["what"] != "python"] == [each for each in asked if not endless(each)]


def test_what_no_test_runs_has_a_reason() -> None:
    run = {word for words in TOGETHER.values() for word in words}
    left = [block for block in BLOCKS if block.page not in run and not block.reason]
    commands = [f"{block.page}:{block.line}: {each}" for block in left for each in block.commands if not endless(each)]
    assert commands == [], "add the page to TOGETHER, or say above the block why it is not run: <!-- not run: ... -->"
    python = [f"{block.page}:{block.line}" for block in left if block.language == "python"]
    assert python == []


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.reason and each.commands], ids=name)
def test_programs_of_ours_that_a_page_names_are_there(block: Block) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in block.commands:
        words = command.split()
        if words[0] == "python":
            assert (ROOT / words[1]).exists(), command
        if words[0] == "make":
            assert f"\n{words[1]}:" in makefile, command


def test_a_comment_is_no_part_of_a_command() -> None:
    assert without_comment("neurosearch init   # asks") == "neurosearch init"
    assert without_comment('$ neurosearch export a --out "my file"') == 'neurosearch export a --out "my file"'
    assert without_comment("# nothing") == ""
