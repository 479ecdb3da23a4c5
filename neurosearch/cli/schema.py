"""`neurosearch schema`: what an editor needs to know of a config file."""

from pathlib import Path
from typing import Annotated

import typer

from neurosearch.cli.frame import command
from neurosearch.cli.report import CommandError, Report


@command
def schema(
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write it to a file; it is printed without.", show_default=False),
    ] = None,
) -> Report:
    """Print the JSON Schema of a config, with every installed kind, for editors that complete and check as you type."""
    from neurosearch.config.schema import SHIPPED, schema_text, study_schema

    text = schema_text()
    facts = {"schema": study_schema(), "shipped": str(SHIPPED), "file": None if out is None else str(out)}
    if out is None:
        return Report(facts, (text.removesuffix("\n"),))
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{out} cannot be written: {error.strerror}. Name another file by --out.") from error
    return Report(
        facts,
        (
            f"wrote {out}. A config in the same folder is completed and checked by editors with this first line:",
            f"  # yaml-language-server: $schema={out.name}",
        ),
    )
