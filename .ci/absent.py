"""Fail when one of the named packages can be imported here: `python .ci/absent.py ray mlflow`.

`make core` asks this first, so that a core room that came to need more than torch and numpy fails on every machine.
"""

import importlib.util
import sys


def present(packages: list[str]) -> list[str]:
    """Return those of the packages that this interpreter would find."""
    return [package for package in packages if importlib.util.find_spec(package) is not None]


if __name__ == "__main__":
    found = present(sys.argv[1:])
    if found:
        sys.exit(
            f"{sys.prefix} holds {', '.join(found)}, so it cannot show that the core rooms do without. "
            "Remove this environment and run `make core` again."
        )
