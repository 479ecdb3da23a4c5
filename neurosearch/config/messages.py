"""Turns pydantic's errors into sentences that name the remedy."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from neurosearch.config.base import Path
from neurosearch.config.kinds import KindGroup, kinds

_GROUPS: dict[str, KindGroup] = {"data": "data", "model": "models", "growth": "growth"}


def message(error: ErrorDetails, path: Path, root: type[BaseModel]) -> str:
    """Says what is wrong at `path` below `root` and how to mend it."""
    kind = error["loc"][1] if path and path[0] in _GROUPS and len(error["loc"]) > 1 else None
    match error["type"]:
        case "extra_forbidden":
            names = _known_names(root, path[:-1], kind)
            return f"unknown key.{_nearest(str(path[-1]), names)} Known here: {', '.join(names)}."
        case "missing":
            return f"is missing. {_description(root, path, kind)}".strip()
        case "union_tag_invalid":
            names = tuple(kinds(_GROUPS[str(path[0])]))
            return f"unknown kind {error['ctx']['tag']!r}.{_nearest(error['ctx']['tag'], names)} Kinds: {', '.join(names)}."
        case "union_tag_not_found":
            return f"has no kind. Add `kind:` with one of {', '.join(kinds(_GROUPS[str(path[0])]))}."
        case _:
            return f"{_lowered(error['msg'])}, but is {_shown(error['input'])}. {_description(root, path, kind)}".strip()


def _nearest(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name, list(names), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _lowered(text: str) -> str:
    text = text.removeprefix("Value error, ").removesuffix(".")
    return text.replace("Input should", "should", 1) if text.startswith("Input") else text


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _description(root: type[BaseModel], path: Path, kind: str | int | None) -> str:
    model = _model_at(root, path[:-1], kind)
    field = model.model_fields.get(str(path[-1])) if model is not None and path else None
    return f"({path[-1]}: {field.description}.)" if field is not None and field.description else ""


def _known_names(root: type[BaseModel], path: Path, kind: str | int | None) -> tuple[str, ...]:
    model = _model_at(root, path, kind)
    names = tuple(model.model_fields) if model is not None else ()
    if not path and root.__name__ == "StudyFields":
        return (*names, *_GROUPS, "training")
    return names


def _model_at(root: type[BaseModel], path: Path, kind: str | int | None) -> type[BaseModel] | None:
    """Returns the model whose fields stand below `path`."""
    model: type[BaseModel] | None = root
    for depth, part in enumerate(path):
        if depth == 0 and part in _GROUPS:
            known = kinds(_GROUPS[str(part)])
            model = known[str(kind)].fields if kind in known else None
        elif model is not None and isinstance(part, str):
            model = _model_of(model.model_fields.get(part))
    return model


def _model_of(field: FieldInfo | None) -> type[BaseModel] | None:
    """Finds the model inside a field's annotation, such as `Imbalance | None` or `tuple[Objective, ...]`."""
    pending = [field.annotation] if field is not None else []
    while pending:
        each = pending.pop()
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
        pending += list(getattr(each, "__args__", ()))
    return None
