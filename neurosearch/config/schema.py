"""The JSON Schema of a config file, for editors: all fields, and search nodes wherever a value may be searched.

Pydantic describes the fields. What it cannot know is that anything below the searched sections may be a node instead;
that is added here. The schema takes every file that `check` takes; what only several fields say together, `check` alone
knows.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from neurosearch.config.base import Path as FieldPath
from neurosearch.config.search_nodes import NODE_CLASSES, SEARCHED_SECTIONS
from neurosearch.config.study import StudyFields
from neurosearch.config.trial import TrialConfig
from neurosearch.config.unions import UNIONS

Schema = dict[str, Any]

#: The schema with the kinds of this package alone, as it is shipped.
SHIPPED = Path(__file__).with_name("study.schema.json")

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DEFS = "#/$defs/"
_NOTES = ("title", "description", "default")  # what is said of a field, whatever stands in its place
_ALTERNATIVES = ("anyOf", "oneOf")
_NUMBER_NODES: Mapping[str, tuple[str, ...]] = {
    "integer": ("int", "log_int"),
    "number": ("int", "uniform", "log_uniform", "log_int"),
}


def study_schema() -> Schema:
    """Returns the schema of a study's file, with every installed kind in it."""
    classes: tuple[type[BaseModel], ...] = (StudyFields, TrialConfig, *NODE_CLASSES.values())
    refs, shared = models_json_schema([(each, "validation") for each in classes])
    defs: Schema = shared["$defs"]
    study, trial = (defs.pop(_name(refs[each, "validation"])) for each in (StudyFields, TrialConfig))
    sections = {name: trial["properties"][name] for name in SEARCHED_SECTIONS}
    for name in sorted(_reached(sections, defs)):
        defs[name] = _with_nodes(defs[name])
    for place, known in UNIONS.items():
        _require_kind(_field_at(place, sections, defs), defs, tuple(known()))
    properties = {**study["properties"], **{name: _searchable(each) for name, each in sections.items()}}
    return {
        "$schema": _DIALECT,
        "title": "A study of neurosearch",
        "type": "object",
        "additionalProperties": False,
        "required": [*study["required"], *SEARCHED_SECTIONS],
        "properties": properties,
        "$defs": dict(sorted(defs.items())),
    }


def schema_text() -> str:
    """Returns the schema as a file holds it."""
    return f"{json.dumps(study_schema(), indent=1)}\n"


def _name(reference: Mapping[str, Any]) -> str:
    return str(reference["$ref"]).removeprefix(_DEFS)


def _references(schema: Any) -> Iterator[str]:
    """Yields the names of the definitions that a schema refers to."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield _name(schema)
        for key, value in schema.items():
            if key != "discriminator":  # OpenAPI's word; the alternatives beside it say the same
                yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _reached(schema: Any, defs: Schema) -> set[str]:
    """Returns the names of all definitions that a schema leads to."""
    found: set[str] = set()
    waiting = list(_references(schema))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _references(defs[name])
    return found


def _with_nodes(section: Schema) -> Schema:
    """Returns an object's schema in which every value may be a node."""
    properties = section.get("properties", {})
    return {**section, "properties": {name: _searchable(each) for name, each in properties.items()}}


def _searchable(field: Schema) -> Schema:
    """Returns a field's schema that takes a node, too."""
    notes = {key: field[key] for key in _NOTES if key in field}
    alternatives = list(_alternatives(field))
    nodes = [_node(search, alternatives) for search in _searches(alternatives)]
    return {**notes, "anyOf": [*(_with_inner_nodes(each) for each in alternatives), *nodes]}


def _alternatives(field: Schema) -> Iterator[Schema]:
    listed = next((field[key] for key in _ALTERNATIVES if key in field), None)
    if listed is not None:
        for each in listed:
            yield from _alternatives(each) if any(key in each for key in _ALTERNATIVES) else (each,)
    else:
        yield {key: value for key, value in field.items() if key not in _NOTES}


def _with_inner_nodes(value: Schema) -> Schema:
    """Returns a list's schema whose elements may be nodes; anything else as it is."""
    found = dict(value)
    if "items" in found:
        found["items"] = _searchable(found["items"])
    if "prefixItems" in found:
        found["prefixItems"] = [_searchable(each) for each in found["prefixItems"]]
    return found


def _searches(alternatives: list[Schema]) -> Iterator[str]:
    """Yields the kinds of nodes that may give one of the alternatives."""
    yield "choice"
    found: list[str] = []
    for each in alternatives:
        found += _NUMBER_NODES.get(str(each.get("type")), ())
        if "$ref" in each:
            found.append("one_of")
        if each.get("type") == "array":
            items = each.get("items", {})
            found += ["widths"] if items.get("type") == "integer" else ["schedule"] if "$ref" in items else []
    yield from dict.fromkeys(found)


def _node(search: str, alternatives: list[Schema]) -> Schema:
    """Returns the schema of a node: options are of the field's own kind."""
    if search == "choice":
        return _options_node(search, alternatives)
    if search == "one_of":
        sections = [each for each in alternatives if "$ref" in each]
        return _options_node(search, [*sections, {"$ref": f"{_DEFS}{NODE_CLASSES[search].__name__}"}])
    return {"$ref": f"{_DEFS}{NODE_CLASSES[search].__name__}"}


def _options_node(search: str, options: list[Schema]) -> Schema:
    return {
        "description": (NODE_CLASSES[search].__doc__ or "").partition("\n")[0],
        "type": "object",
        "additionalProperties": False,
        "required": ["search", "options"],
        "properties": {
            "search": {"const": search},
            "options": {
                "type": "array",
                "minItems": 1,
                "items": options[0] if len(options) == 1 else {"anyOf": options},
            },
        },
    }


def _field_at(place: FieldPath, sections: Schema, defs: Schema) -> Schema:
    """Returns the schema of a field of a searched section, or of the section itself."""
    field: Schema = sections[str(place[0])]
    for name in place[1:]:
        field = defs[_name(field)]["properties"][name]
    return field


def _require_kind(section: Schema, defs: Schema, names: tuple[str, ...]) -> None:
    """Makes `kind` stand in each of a section's alternatives; a choice between kinds may stand in any of them."""
    for alternative in _alternatives(section):
        if "$ref" not in alternative:  # a short form, or a node that gives the section
            continue
        found = defs[_name(alternative)]
        kind = found["properties"]["kind"]
        kind.pop("default", None)
        kind["anyOf"] = [kind["anyOf"][0], _options_node("choice", [{"enum": list(names)}])]
        found["required"] = sorted({"kind", *found.get("required", ())})
