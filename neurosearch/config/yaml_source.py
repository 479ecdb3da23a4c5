"""Reads YAML 1.2 into plain values and remembers where each one stands."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from neurosearch.config.base import ConfigError, Path, Problem

MAXIMUM_NODES = 20_000  # an alias can repeat a subtree: a short file may hide a huge one
_CORE = "tag:yaml.org,2002:"
_PLAIN_TAGS = {_CORE + name for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp")}


@dataclass(frozen=True)
class Source:
    """Plain values with their places.

    Attributes:
        values: What the file says: dicts, lists, strings, numbers, booleans, None.
        places: `file:line` (or the option's text) of every path.
        name: The file's name, for problems that have no path.
    """

    values: dict[str, Any]
    places: Mapping[Path, str]
    name: str

    def place(self, path: Path) -> str:
        """Returns where a path stands, or the nearest enclosing one (a missing key has no line of its own)."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return self.name


def read_yaml(path: str | FilePath) -> Source:
    """Reads a config file.

    Raises:
        ConfigError: If the file is missing, is no YAML, holds object tags or a key twice, or is no mapping.
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
        raise _error(where, f"is not valid YAML: {error.problem or error.context}. Mend that line.") from error
    if not isinstance(root, MappingNode):
        raise _error(name, "must be a mapping such as `name: my-study`; see tune_configs/ for examples.")
    reader = _Reader(yaml, name)
    values = reader.read(root, ())
    if reader.problems:
        raise ConfigError(tuple(reader.problems))
    assert isinstance(values, dict)
    return Source(values, reader.places, name)


def with_overrides(source: Source, overrides: tuple[str, ...]) -> Source:
    """Applies `--set` overrides such as `training.epochs=5`; the value is read as YAML.

    Raises:
        ConfigError: If an override has no `=`, or goes through something that is not a mapping.
    """
    places = dict(source.places)
    values = _copied(source.values)
    problems = [problem for text in overrides if (problem := _override(values, places, text)) is not None]
    if problems:
        raise ConfigError(tuple(problems))
    return Source(values, places, source.name)


def _override(values: dict[str, Any], places: dict[Path, str], text: str) -> Problem | None:
    key, equals, value_text = text.partition("=")
    where = f"--set {text}"
    path = tuple(key.strip().split("."))
    if not equals or not all(path):
        return Problem(where, "", "write it as section.field=value, such as training.epochs=5.")
    parsed = parse_yaml(f"value: {value_text}", where)
    target: Any = values
    for part in path[:-1]:
        target = target.setdefault(part, {})
        if not isinstance(target, dict):
            return Problem(where, key, f"{part!r} is a value, not a section; check the dotted name.")
    target[path[-1]] = parsed.values["value"]
    for old in [old for old in places if old[: len(path)] == path]:
        del places[old]
    places[path] = where
    return None


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


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
        if node.tag not in _PLAIN_TAGS:
            self.problems.append(Problem(where, "", f"the tag {_short(node.tag)} is refused: write plain YAML values."))
            return None
        if isinstance(node, MappingNode):
            return {key: self.read(value, (*path, key)) for key, value in self._pairs(node, path)}
        if isinstance(node, SequenceNode):
            return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        # A date is no value of any field; as text it meets that field's own message.
        return node.value if node.tag == _CORE + "timestamp" else self._constructor.construct_object(node)

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


def _short(tag: str) -> str:
    return "!!" + tag.removeprefix(_CORE) if tag.startswith(_CORE) else tag
