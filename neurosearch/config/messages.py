"""Turns pydantic's errors into sentences that name the remedy."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from neurosearch.config.base import Path, nearest
from neurosearch.config.unions import UNIONS, union_above
from neurosearch.names import OBJECTIVES

_SECTIONS = ("data", "model", "training", "growth")

#: pydantic's error types in the words of someone who writes YAML; {...} are the error's own bounds.
_WORDS = {
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text; put it in quotes",
    "string_too_short": "must not be empty",
    "tuple_type": "must be a list, written [a, b]",
    "list_type": "must be a list, written [a, b]",
    "model_type": "must be a section with keys of its own",
    "model_attributes_type": "must be a section with keys of its own",
    "dict_type": "must be a section with keys of its own",
    "literal_error": "must be {expected}",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have at least {min_length} item(s)",
    "too_long": "must have at most {max_length} item(s)",
}


def message(error: ErrorDetails, path: Path, root: type[BaseModel]) -> str:
    """Says what is wrong at `path` below `root` and how to mend it."""
    union = union_above(path)
    kind = error["loc"][len(union)] if union is not None and len(error["loc"]) > len(union) else None
    description = _description(root, path, kind)
    match error["type"]:
        case "extra_forbidden":
            text = _unknown_key(str(path[-1]), _known_names(root, path[:-1], kind))
        case "missing" if path[-1] == "direction" and error["input"].get("metric") in list(OBJECTIVES):  # any value
            text = f"is missing. Write direction: {OBJECTIVES[error['input']['metric']]}."
        case "missing":
            text = f"is missing. {description}"
        case "union_tag_invalid":
            names = tuple(UNIONS[path]())
            tag = error["ctx"]["tag"]
            text = f"unknown kind {tag!r}.{nearest(tag, names)} Kinds: {', '.join(names)}."
        case "union_tag_not_found":
            text = f"has no kind. Add `kind:` with one of {', '.join(UNIONS[path]())}."
        case "string_pattern_mismatch":
            text = f"does not allow {_shown(error['input'])}. {description}"
        case "model_attributes_type" if _is_kind(error["input"], path):
            text = f"must be a section; write {{kind: {error['input']}}}. {description}"
        case name if name in _WORDS:
            text = f"{_wrong_value(error)} {description}"
        case _:
            text = _sentence(error)
    return text.strip()


def is_follower(error: ErrorDetails) -> bool:
    """Tells whether an error only follows from others: a list whose wrong items, taken out, leave it too short."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _wrong_value(error: ErrorDetails) -> str:
    value = error["input"]
    context = {
        name: f"{bound:g}" if isinstance(bound, float) else bound for name, bound in error.get("ctx", {}).items()
    }
    if isinstance(value, dict) and "search" in value:
        return f"cannot be searched. Write one value; search nodes may stand below {', '.join(_SECTIONS)} only."
    hint = nearest(value, _quoted(context["expected"])) if error["type"] == "literal_error" else ""
    return f"{_WORDS[error['type']].format(**context)}, but is {_shown(value)}.{hint}"


def _sentence(error: ErrorDetails) -> str:
    """Other types are our own sentences, which are whole, or pydantic's, which leave out the value."""
    text = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ").removesuffix(".")
    return f"{text}, but is {_shown(error['input'])}." if text.startswith("Input should") else f"{text}."


def _is_kind(value: object, path: Path) -> bool:
    return path in UNIONS and isinstance(value, str) and value in UNIONS[path]()


def _unknown_key(name: str, known: tuple[str, ...]) -> str:
    return f"unknown key.{nearest(name, known)}" + (f" Known here: {', '.join(known)}." if known else "")


def _quoted(expected: str) -> Iterable[str]:
    """Takes the options out of pydantic's text `'a', 'b' or 'c'`."""
    return expected.split("'")[1::2]


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _description(root: type[BaseModel], path: Path, kind: str | int | None) -> str:
    model = _model_at(root, path[:-1], kind)
    field = model.model_fields.get(str(path[-1])) if model is not None and path else None
    return f"({field.description}.)" if field is not None and field.description else ""


def _known_names(root: type[BaseModel], path: Path, kind: str | int | None) -> tuple[str, ...]:
    model = _model_at(root, path, kind)
    names = tuple(model.model_fields) if model is not None else ()
    return (*names, *_SECTIONS) if not path and root.__name__ == "StudyFields" else names


def _model_at(root: type[BaseModel], path: Path, kind: str | int | None) -> type[BaseModel] | None:
    """Returns the model whose fields stand below `path`."""
    model: type[BaseModel] | None = root
    for depth, part in enumerate(path):
        if path[: depth + 1] in UNIONS and path[0] in root.model_fields:
            model = UNIONS[path[: depth + 1]]().get(str(kind))
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
