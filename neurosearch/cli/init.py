"""`neurosearch init`: the first config, from few questions or from options."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurosearch.cli.frame import command
from neurosearch.cli.report import CommandError, Report, neurosearch

if TYPE_CHECKING:
    from neurosearch.config.base import Problem


@command
def init(  # noqa: PLR0913, PLR0917  # an option for each answer
    out: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="The YAML file to write; NAME.yaml without it.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="The study's name; FILE's without it.")] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="KIND", help="Kind of data, such as npz.")] = None,
    path: Annotated[str | None, typer.Option("--path", help="Where the data lies, seen from here.")] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="KIND", help="Kind of network, such as cnn.")] = None,
    limit: Annotated[
        str | None,
        typer.Option("--limit", metavar="WHAT=NUMBER", help="What can be deployed, such as parameters=20000."),
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Passes over the training part.", min=1)] = None,
    trials: Annotated[int | None, typer.Option("--trials", help="Trials to run.", min=1)] = None,
    fields: Annotated[
        list[str] | None,
        typer.Option(
            "--field",
            metavar="FIELD=VALUE",
            help="A field of data or model, such as data.task=regression; may be given several times.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing; what has a default gets it.")] = False,
) -> Report:
    """Write a commented config that passes `check`: asks a few questions on a terminal, or takes options."""
    from neurosearch.cli.answers import Asked, Given, starter
    from neurosearch.cli.typed_paths import seen_from
    from neurosearch.config.base import ConfigError
    from neurosearch.config.load import study_from_text
    from neurosearch.config.starter import starter_text

    given = Given(_name(name, out), data, path, model, limit, epochs, trials, tuple(fields or ()))
    schema = "neurosearch.schema.json"
    _refuse_to_overwrite(out)
    chosen = starter(given, Asked.on_terminal(quiet=yes), schema)
    target = out if out is not None else Path(f"{chosen.name}.yaml")
    chosen, moved = seen_from(target.parent, chosen)
    text = starter_text(chosen)
    try:
        study = study_from_text(text, target)
    except ConfigError as error:
        raise ConfigError(tuple(_where_typed(each, given.fields) for each in error.problems)) from error
    _write(target, text)
    new_schema = _write_schema(target.parent / schema)
    facts = {"ok": True, "config": str(target), "study": study.study.name, "schema": str(target.parent / schema)}
    lines = [f"wrote {target}; every field in it is explained there."]
    lines += [f"{field} is {path}: paths in a config start from its own folder." for field, path in moved.items()]
    if new_schema:
        lines.append(f"wrote {target.parent / schema}, by which editors complete and check it as you type.")
    return Report(
        {**facts, "hyperparameters": list(study.template.names)},
        tuple(lines),
        next=(neurosearch("check", target, "--data"), neurosearch("search", target)),
    )


def _name(name: str | None, out: Path | None) -> str | None:
    return out.stem if name is None and out is not None else name


def _where_typed(problem: "Problem", fields: tuple[str, ...]) -> "Problem":
    """Returns a problem of a field with the option that gave it: the file in which it has a line is not written."""
    typed = (text for text in fields if problem.field.startswith(text.partition("=")[0].strip()))
    text = next(typed, None)
    return problem if text is None else replace(problem, where=f"--field {text}")


def _refuse_to_overwrite(path: Path | None) -> None:
    if path is not None and os.path.exists(path):  # noqa: PTH110  # what cannot be a file is told when it is written
        raise CommandError(f"{path} is there already, and is not overwritten. Name another file, or move it away.")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        _refuse_to_overwrite(path)
        raise CommandError(f"{path.parent} is no folder. Name another file.") from error
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}. Name a file in another folder.") from error


def _write_schema(path: Path) -> bool:
    """Writes the schema for editors beside the config, unless one is there; tells whether it did."""
    from neurosearch.config.schema import schema_text

    if path.exists():
        return False
    path.write_text(schema_text(), encoding="utf-8")
    return True
