"""Write docs/reference from the config's schema and from the command line; with --check, fail when a page is stale.

`make reference` writes the pages after a field, a kind, a command or an option has changed.
"""

import inspect
import json
import re
import sys
from collections.abc import Iterator
from enum import EnumType
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "reference"
MADE = "<!-- Made by .ci/reference.py (make reference). Do not edit. -->"
_REF = "#/$defs/"
_ENDLESS = 1e9  # bounds beyond that are the machine's, and tell a reader nothing
_WORDS = {"str": "TEXT", "int": "NUMBER", "float": "NUMBER"}

Schema = dict[str, Any]


def pages() -> dict[str, str]:
    """Return the text of every page by its file name."""
    return {"config.md": config_page(_shipped()), "commands.md": commands_page()}


def _shipped() -> Schema:
    from neurosearch.config.schema import SHIPPED

    schema: Schema = json.loads(SHIPPED.read_text(encoding="utf-8"))
    return schema


# The config.


def config_page(schema: Schema) -> str:
    """Return the page on all fields of a config."""
    return "\n".join([MADE, "", *_config_lines(schema)]).rstrip() + "\n"


def _config_lines(schema: Schema) -> Iterator[str]:
    places = _places(schema)
    yield "# All fields of a config\n"
    yield (
        "A config is one YAML file. Unknown fields are errors, and `neurosearch check` names every wrong one with its "
        "line. Where the column *searched* says yes, a [search node](#search-nodes) may stand instead of the value. "
        "`neurosearch schema` gives the same as a JSON Schema, kinds of other packages included.\n"
    )
    yield from _table(schema, schema, places)
    nodes = [name for name in schema["$defs"] if _is_node(schema["$defs"][name])]
    for name, place in places.items():
        yield from _section(name, place, schema, places)
    yield "\n## Search nodes\n"
    yield "Each is a mapping whose `search` says which.\n"
    for name in nodes:
        node = schema["$defs"][name]
        yield f"\n### `search: {node['properties']['search']['const']}`\n"
        yield f"{_sentence(node.get('description', ''))}\n"
        yield from _table(node, schema, places)
    for name in sorted(schema["$defs"]):
        if name not in places and name not in nodes:
            yield f"\n### {name}\n"
            yield f"{_sentence(schema['$defs'][name].get('description', ''))}\n"
            yield from _table(schema["$defs"][name], schema, places)


def _places(schema: Schema) -> dict[str, str]:
    """Return by what a section is headed, in the order in which the fields lead to the sections."""
    found: dict[str, str] = {}

    def visit(owner: Schema, path: str) -> None:
        for name, field in owner.get("properties", {}).items():
            place = f"{path}.{name}" if path else name
            for each in _sections_of(field):
                if each in found or _is_node(schema["$defs"][each]):
                    continue
                kind = _kind(schema["$defs"][each])
                found[each] = f"{place}: {{kind: {kind}}}" if kind else place
                visit(schema["$defs"][each], place)

    visit(schema, "")
    return found


def _section(name: str, place: str, schema: Schema, places: dict[str, str]) -> Iterator[str]:
    section = schema["$defs"][name]
    yield f"\n## `{place}`\n"
    yield f"{_sentence(section.get('description', ''))}\n"
    yield from _table(section, schema, places)


def _anchor(place: str) -> str:
    """Return what GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", place.lower()).replace(" ", "-")


def _table(owner: Schema, schema: Schema, places: dict[str, str]) -> Iterator[str]:
    required = owner.get("required", ())
    yield "| field | value | default | searched | meaning |"
    yield "|---|---|---|---|---|"
    for name, field in owner.get("properties", {}).items():
        alternatives = [each for each in _alternatives(field) if not _is_node(_resolved(each, schema))]
        value = ", or ".join(dict.fromkeys(_value(each, places) for each in alternatives))
        is_searched = any(_is_node(_resolved(each, schema)) for each in _alternatives(field))
        default = "required" if name in required else f"`{json.dumps(field['default'])}`" if "default" in field else ""
        cells = (f"`{name}`", value, default, "yes" if is_searched else "", _sentence(field.get("description", "")))
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _alternatives(field: Schema) -> Iterator[Schema]:
    listed = field.get("anyOf") or field.get("oneOf")
    if listed is None:
        yield field
        return
    for each in listed:
        yield from _alternatives(each)


def _resolved(value: Schema, schema: Schema) -> Schema:
    reference = value.get("$ref")
    found: Schema = schema["$defs"][reference.removeprefix(_REF)] if reference else value
    return found


def _sections_of(field: Schema) -> Iterator[str]:
    for each in _alternatives(field):
        if "$ref" in each:
            yield each["$ref"].removeprefix(_REF)
        elif each.get("type") == "array":
            yield from _sections_of(each.get("items", {}))


def _is_node(value: Schema) -> bool:
    return "search" in value.get("properties", {})


def _kind(section: Schema) -> str | None:
    kind = section.get("properties", {}).get("kind", {})
    for each in _alternatives(kind):
        if "const" in each:
            return str(each["const"])
    return None


def _value(value: Schema, places: dict[str, str]) -> str:
    """Return what a value may be, in words."""
    match value:
        case {"$ref": reference}:
            place = places.get(reference.removeprefix(_REF))
            words = f"[{_label(place)}](#{_anchor(place)})" if place else reference.removeprefix(_REF)
        case {"const": constant}:
            words = f"`{constant}`"
        case {"enum": names}:
            words = ", ".join(f"`{each}`" for each in names)
        case {"prefixItems": items}:
            words = f"[{', '.join(_first(each, places) for each in items)}]"
        case {"type": "array"}:
            words = f"list of {_first(value.get('items', {}), places)}"
        case {"type": "integer" | "number" as kind}:
            words = " ".join(["whole number" if kind == "integer" else "number", *_bounds(value)])
        case _:
            kind = str(value.get("type", "any value"))
            words = {"null": "nothing", "string": "text", "boolean": "`true`, `false`"}.get(kind, kind)
    return words


def _first(field: Schema, places: dict[str, str]) -> str:
    own = (each for each in _alternatives(field) if not _is_node(each) and not _is_named_node(each))
    return ", or ".join(dict.fromkeys(_value(each, places) for each in own))


def _is_named_node(value: Schema) -> bool:
    return value.get("$ref", "").endswith("Node")


def _bounds(value: Schema) -> Iterator[str]:
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    for key, word in words.items():
        if key in value and abs(value[key]) < _ENDLESS:
            yield f"{word} {value[key]:g}"


def _label(place: str) -> str:
    kind = re.search(r"\{kind: (\w+)\}", place)
    return f"`{kind.group(1)}`" if kind else "section"


def _sentence(text: str) -> str:
    """Return a description on one line, with a full stop."""
    words = " ".join(text.split())
    return words if not words or words.endswith((".", ":", ")")) else f"{words}."


# The command line.


def commands_page() -> str:
    """Return the page on all commands and their options."""
    return "\n".join([MADE, "", *_command_lines()]).rstrip() + "\n"


def _command_lines() -> Iterator[str]:
    import typer

    from neurosearch.cli.app import app

    group: Any = typer.main.get_command(app)
    yield "# All commands\n"
    yield f"{_sentence(inspect.cleandoc(group.help or ''))} {_sentence(app.info.epilog or '')}\n"
    yield from _options(group)
    for path, command in _commands(group, ()):
        yield f"\n## `neurosearch {' '.join(path)}`\n"
        yield f"{inspect.cleandoc(command.help or '')}\n"
        yield f"    {_usage(path, command)}\n"
        yield from _arguments(command)
        yield from _options(command)


def _commands(group: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, (*path, name))
        elif not command.hidden:
            yield (*path, name), command


def _usage(path: tuple[str, ...], command: Any) -> str:
    arguments = [_metavar(each) for each in command.params if each.param_type_name == "argument"]
    return " ".join(["neurosearch", *path, *arguments, "[OPTIONS]"])


def _arguments(command: Any) -> Iterator[str]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    if arguments:
        yield "| argument | meaning |"
        yield "|---|---|"
        yield from (f"| `{_metavar(each)}` | {_meaning(each)} |" for each in arguments)
        yield ""


def _options(command: Any) -> Iterator[str]:
    options = [each for each in command.params if each.param_type_name == "option" and not each.hidden]
    if options:
        yield "| option | value | default | meaning |"
        yield "|---|---|---|---|"
        for each in options:
            names = ", ".join(f"`{name}`" for name in (*each.opts, *each.secondary_opts))
            value = "" if each.is_flag else f"`{_metavar(each)}`"
            yield f"| {names} | {value} | {_default(each)} | {_meaning(each)} |"


def _metavar(parameter: Any) -> str:
    if parameter.metavar:
        return str(parameter.metavar)
    kind = parameter.type_descriptor.annotation
    return "\\|".join(each.value for each in kind) if isinstance(kind, EnumType) else _WORDS[kind.__name__]


def _default(parameter: Any) -> str:
    value = parameter.default
    if value is None or value is False or callable(value) or not parameter.show_default:
        return ""
    shown = getattr(value, "value", value)
    return f"`{shown}`" if isinstance(shown, str | int | float | Path) else ""


def _meaning(parameter: Any) -> str:
    text = _sentence(parameter.help or "").replace("|", "\\|")
    return f"{text} From `{parameter.envvar}` where that is set." if parameter.envvar else text


def main(words: list[str]) -> int:
    """Write the pages, or with --check name those that are not as they would be written."""
    stale = []
    for name, text in pages().items():
        path = PAGES / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in words:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"docs/reference/{name}: {'stale; run make reference' if '--check' in words else 'written'}")
    return 1 if stale and "--check" in words else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
