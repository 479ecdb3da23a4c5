"""Fail when a file of this repository names a package registry or a path of the machine it was written on.

Either would tie the project to one place: a lock file that says where its packages came from, a script that runs in its
author's home folder alone. The hosts below are put together from parts, so that this file passes its own check.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_HOSTS = {
    "org": (
        "pypi",
        "pypi.python",
        "pythonhosted",
        "download.pytorch",
        "anaconda",
        "registry.npmjs",
        "deb.debian",
        "security.debian",
        "rubygems",
        "repo.maven.apache",
        "proxy.golang",
    ),
    "com": ("yarnpkg", "archive.ubuntu"),
    "io": ("crates",),
}
# Where machines keep people's own files; and folders that every machine has, which say nothing about one.
_HOMES = (r"/home/\w", r"/Users/\w", r"/root\b/", r"[A-Za-z]:\\Users\\\w")
_COMMON_FOLDERS = frozenset({"/", "/home", "/mnt", "/opt", "/root", "/srv", "/tmp", "/usr", "/var", "/var/tmp"})

_NO_PATH_BEFORE = r"(?<![\w.~/}-])"


def patterns(root: Path) -> dict[str, re.Pattern[str]]:
    """Return what no line may hold, each under the words that a finding is reported with.

    Args:
        root: The repository's folder; it and the folder it lies in are looked for, too.
    """
    hosts = "|".join(re.escape(f"{name}.{domain}") for domain, names in _HOSTS.items() for name in names)
    places = [re.escape(str(place)) for place in (root, root.parent) if str(place) not in _COMMON_FOLDERS]
    paths = "|".join([*_HOMES, *(rf"{place}(?![\w-]|\.\w)" for place in places)])
    return {
        "a package registry's host": re.compile(rf"(?<![\w-])(?:{hosts})(?![\w-])", re.IGNORECASE),
        "an absolute path of one machine": re.compile(f"{_NO_PATH_BEFORE}(?:{paths})"),
    }


def findings(text: str, forbidden: dict[str, re.Pattern[str]]) -> Iterator[tuple[int, str, str]]:
    """Yield the line number, what is wrong and the offending words, for each forbidden thing in the text."""
    for number, line in enumerate(text.splitlines(), start=1):
        for what, pattern in forbidden.items():
            if match := pattern.search(line):
                yield number, what, match.group()


def _files(root: Path) -> list[Path]:
    """List the files that git tracks or would track."""
    listed = subprocess.run(
        ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    )
    return [root / name for name in sorted(set(listed.stdout.split("\0"))) if name]


def main(root: Path) -> int:
    """Print each finding of the repository as `file:line: what` and return the exit code."""
    forbidden = patterns(root)
    found = 0
    for path in _files(root):
        if not path.is_file():
            continue  # deleted, but not yet in a commit
        text = path.read_bytes().decode("utf-8", errors="ignore")
        for number, what, words in findings(text, forbidden):
            print(f"{path.relative_to(root)}:{number}: {what}: {words}")
            found += 1
    if found:
        print(f"{found} found. Write relative paths, and name packages, not where they come from.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent.parent))
