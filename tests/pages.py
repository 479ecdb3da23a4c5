"""The project's pages as what a reader does with them: files to write, Python to run, commands to type.

Run as a program, it does what pages say, in a scratch folder, in one process, so that imports are paid once.
"""

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>not run: [^\n]*?) -->\n)?"
    r"^(?P<fence>`{3,}) *(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)
_FILE = re.compile(r"# (?P<name>[\w./-]+\.(?:yaml|py))\n")
_SHELL = ("sh", "bash", "console")

#: Commands that go on until they are ended, with the test that starts and ends them.
ENDLESS = {
    "neurosearch ui": "tests/cli/test_ui.py",
    "mlflow server": "tests/tracking/test_server.py",
    "mlflow models serve": "tests/tracking/test_serving.py",
    "optuna-dashboard": "tests/cli/test_dashboard.py",
}


#: Commands that leave with a word and a code where the page's own study gives them nothing to do.
EXPECTED = {
    "neurosearch front my-study": 2,  # it has one objective, and says that its front is its best trial
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: Path of the page below the project's folder.
        line: Where it begins.
        language: As the fence says.
        text: What stands in it.
        reason: Why it is not run; empty if it is.
    """

    page: str
    line: int
    language: str
    text: str
    reason: str

    @property
    def file(self) -> str | None:
        """Name of the file that it is, by its first line; None where it is none."""
        found = _FILE.match(self.text)
        return found["name"] if found and self.language in ("yaml", "python") else None

    @property
    def commands(self) -> list[str]:
        """The commands of a shell block, without comments and continued lines joined."""
        if self.language not in _SHELL:
            return []
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := without_comment(line))]


def pages() -> list[Path]:
    """Returns every page that speaks to users."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "k8s").rglob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """Yields the fenced blocks of a page in their order."""
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        reason = (found["mark"] or "").removeprefix("not run: ")
        line = text.count("\n", 0, found.start("fence")) + 1
        yield Block(str(page.relative_to(ROOT)), line, found["language"], found["text"], reason)


def without_comment(line: str) -> str:
    """Returns a line of a shell without prompt and comment."""
    line = line.strip().removeprefix("$ ")
    words = shlex.shlex(line, posix=False, punctuation_chars="")
    words.whitespace_split = True
    words.commenters = "#"
    return " ".join(words)


def endless(command: str) -> str | None:
    """Returns the test of a command that does not end by itself; None for others."""
    return next((test for begin, test in ENDLESS.items() if command.startswith(begin)), None)


@dataclass
class Done:
    """What came of one step.

    Attributes:
        page: The page.
        line: Of the block.
        what: The command, or the kind of block.
        code: Exit code.
        output: What was printed.
    """

    page: str
    line: int
    what: str
    code: int
    output: str


def run_page(page: Path, *, small: bool) -> Iterator[Done]:
    """Does what a page says, in the working directory, and yields what came of each step.

    Args:
        page: The page.
        small: Whether studies get small budgets: what is written is checked as it is, and run with few trials.
    """
    names: dict[str, Any] = {"__name__": "__page__"}
    for block in blocks(page):
        if block.reason:
            continue
        if block.file is not None:
            _write(block, small=small)
        elif block.language == "python":
            yield _python(block, names)
        for command in block.commands:
            if endless(command) is None:
                yield _command(block, command)


def _write(block: Block, *, small: bool) -> None:
    assert block.file is not None
    path = Path(block.file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text, encoding="utf-8")
    if block.language == "yaml" and small:
        _make_small(path)


def _make_small(path: Path) -> None:
    """Checks a config as it is written, then leaves it two trials."""
    from ruamel.yaml import YAML

    from neurosearch.config.load import load_study

    load_study(path, ())
    yaml = YAML()
    values = yaml.load(path)
    search: Mapping[str, Any] = values.get("search", {})
    values["search"] = {**search, "trials": 2, "concurrency": 1, "finalists": 1, "fresh_seeds": 2, "arms": []}
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(values, file)


def _python(block: Block, names: dict[str, Any]) -> Done:
    output, code = io.StringIO(), 0
    with contextlib.redirect_stdout(output):
        try:
            exec(compile(block.text, f"{block.page}:{block.line}", "exec"), names)
        except Exception as error:  # noqa: BLE001  # whatever it raises is what came of it
            code = 1
            output.write(f"{type(error).__name__}: {error}")
    return Done(block.page, block.line, "python", code, output.getvalue())


def _command(block: Block, command: str) -> Done:
    words = shlex.split(command)
    if words[0] == "neurosearch" and not set(words) & {">", "|", "&&", "&"}:
        output, code = _neurosearch(words[1:])
    else:
        done = subprocess.run(["bash", "-euc", command], capture_output=True, text=True, check=False)
        output, code = done.stdout + done.stderr, done.returncode
    return Done(block.page, block.line, command, code, output)


def _neurosearch(words: list[str]) -> tuple[str, int]:
    """Runs one of our commands in this process."""
    from neurosearch.cli.app import app

    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            app(words, prog_name="neurosearch")
        except SystemExit as done:
            return output.getvalue(), int(done.code or 0)
    return output.getvalue(), 0


def main(*words: str) -> None:
    """Does what pages say, one after the other, and prints what came of each step as a line of JSON."""
    result = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    shutil.copytree(ROOT / "examples", "examples")  # as in a clone, which pages may speak of
    for page in (word for word in words if not word.startswith("--")):
        for done in run_page(ROOT / page, small="--small" in words):
            result.write(f"{json.dumps(asdict(done))}\n")
            result.flush()
            if done.code != EXPECTED.get(done.what, 0):
                return


if __name__ == "__main__":
    main(*sys.argv[1:])
