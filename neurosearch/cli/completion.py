"""What the shell completes beyond options: names of studies. It is asked at every press of Tab, so it reads little."""

from pathlib import Path

import typer


def study_names(context: typer.Context, incomplete: str) -> list[str]:
    """Returns the names of the studies in the folder that was typed before, or in the default one.

    A study in a database is known by the folder that it has all the same; the database itself is not asked.

    Args:
        context: What was typed before.
        incomplete: The beginning of the name.
    """
    folder = Path(context.params.get("folder") or "runs").expanduser()
    try:
        found = sorted(path.name for path in folder.iterdir() if path.name.startswith(incomplete) and _is_study(path))
    except OSError:
        return []
    return found


def _is_study(path: Path) -> bool:
    return (path / "study.journal").exists() or (path / "config.yaml").exists()
