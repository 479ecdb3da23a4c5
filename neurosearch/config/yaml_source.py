"""Reads YAML 1.2 into plain values and remembers where each one stands; writes plain values as YAML."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path as FilePath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.representer import SafeRepresenter

from neurosearch.config.base import ConfigError, Path, Problem

MAXIMUM_NODES = 20_000  # an alias can repeat a subtree: a short file may hide a huge one
MAXIMUM_DEPTH = 100  # an alias can hold itself
_PLAIN_WORDS = re.compile(r"[A-Za-z_/][\w/. -]*[\w/]|[A-Za-z_]", re.ASCII)
_CORE = "tag:yaml.org,2002:"
_PLAIN_TAGS: Mapping[type[Node], frozenset[str]] = {
    MappingNode: frozenset({_CORE + "map"}),
    SequenceNode: frozenset({_CORE + "seq"}),
    ScalarNode: frozenset(_CORE + name for name in ("str", "int", "float", "bool", "null", "timestamp")),
}


@dataclass(frozen=True)
class Source:
    """Plain values with their places.

    Attributes:
        values: What the file says: dicts, lists, strings, numbers, booleans, None.
        places: `file:line` (or the option's text) of every path.
        name: The file's name, for problems that have no path.
        problems: What was wrong in the text itself (an object tag, a key twice); the rest of the values can still be
            checked, so that all problems are told at once.
    """

    values: dict[str, Any]
    places: Mapping[Path, str]
    name: str
    problems: tuple[Problem, ...] = ()

    def place(self, path: Path) -> str:
        """Returns where a path stands, or the nearest enclosing one (a missing key has no line of its own)."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return self.name


def read_yaml(path: str | FilePath) -> Source:
    """Reads a config file.

    Raises:
        ConfigError: If the file is missing, is no YAML or is no mapping.
    """
    file = FilePath(path)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise _error(str(path), f"cannot be read: {error.strerror}. Check the path.") from error
    except UnicodeDecodeError as error:
        raise _error(str(path), "is not UTF-8 text. Save it as UTF-8.") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, name: str) -> Source:
    """Parses YAML text; `name` stands for the file in problems. Raises as `read_yaml` does."""
    yaml = YAML(typ="safe", pure=True)
    try:
        root = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        raise _error(where, f"is not valid YAML: {_reason(error)}. Mend that line.") from error
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _error(f"{name}:{line}", f"holds the control character {chr(error.character)!r}. Take it out.") from error
    except RecursionError as error:
        raise _error(name, "is nested too deeply to be read. Flatten it.") from error
    if not isinstance(root, MappingNode):
        raise _error(name, "must be a mapping such as `name: my-study`; see tune_configs/ for examples.")
    reader = _Reader(yaml, name)
    values = reader.read(root, ())
    if not isinstance(values, dict):
        raise ConfigError(tuple(reader.problems))
    return Source(values, reader.places, name, tuple(reader.problems))


def to_yaml(values: Mapping[str, Any]) -> str:
    """Writes plain values so that `parse_yaml` reads the same ones."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _QuotingRepresenter
    yaml.default_flow_style = None  # inner lists and sections on one line, as people write search nodes
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # typed by its class default, None
    yaml.width = 120
    text = StringIO()
    yaml.dump(values, text)
    return text.getvalue()


class _QuotingRepresenter(SafeRepresenter):
    """Quotes all text but plain words: ruamel writes some others, such as `?0`, so that it reads them back changed."""

    def represent_str(self, data: str) -> ScalarNode:
        style = None if _PLAIN_WORDS.fullmatch(data) else '"'
        return self.represent_scalar(_CORE + "str", data, style=style)


_QuotingRepresenter.add_representer(str, _QuotingRepresenter.represent_str)


def _reason(error: MarkedYAMLError) -> str:
    return (error.problem or error.context or "it cannot be read").removeprefix("but ")


def _error(where: str, text: str) -> ConfigError:
    return ConfigError((Problem(where, "", text),))


class _Reader:
    """Walks a composed YAML tree once, collecting places and problems."""

    def __init__(self, yaml: YAML, name: str) -> None:
        self._constructor = yaml.constructor
        self._name = name
        self._seen = 0
        self.places: dict[Path, str] = {}
        self.problems: list[Problem] = []

    def read(self, node: Node, path: Path) -> Any:
        where = self._where(node)
        self.places.setdefault(path, where)
        self._seen += 1
        if self._seen > MAXIMUM_NODES:
            raise _error(where, f"holds more than {MAXIMUM_NODES} values once its aliases are expanded. Shorten it.")
        if len(path) > MAXIMUM_DEPTH:
            raise _error(where, f"is nested deeper than {MAXIMUM_DEPTH} levels; an alias may hold itself. Flatten it.")
        if node.tag not in _PLAIN_TAGS[type(node)]:
            self.problems.append(Problem(where, "", f"the tag {_short(node.tag)} is refused: write plain YAML values."))
            return None
        if isinstance(node, MappingNode):
            return {key: self.read(value, (*path, key)) for key, value in self._pairs(node, path)}
        if isinstance(node, SequenceNode):
            return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        return self._scalar(node, where)

    def _scalar(self, node: ScalarNode, where: str) -> Any:
        if node.tag == _CORE + "timestamp":  # no field is a date; as text it meets the field's own message
            return node.value
        try:
            return self._constructor.construct_object(node)
        except (ValueError, KeyError):  # an explicit tag such as `!!int five`, or an integer of thousands of digits
            text = f"{node.value[:40]!r} cannot be read as {_short(node.tag)}: write a plain value."
            self.problems.append(Problem(where, "", text))
            return None

    def _pairs(self, node: MappingNode, path: Path) -> Iterator[tuple[str, Node]]:
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, ScalarNode) else None
            if key is None or key in seen:
                text = "a key must be a plain word." if key is None else f"the key {key!r} stands here twice: keep one."
                self.problems.append(Problem(self._where(key_node), "", text))
                continue
            seen.add(key)
            self.places[(*path, key)] = self._where(key_node)
            yield key, value_node

    def _where(self, node: Node) -> str:
        return self._name if self._name.startswith("--set") else f"{self._name}:{node.start_mark.line + 1}"


def _short(tag: str | None) -> str:
    assert tag is not None, "a composed node carries its tag"
    return "!!" + tag.removeprefix(_CORE) if tag.startswith(_CORE) else tag
