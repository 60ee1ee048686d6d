"""YAML as a config may hold it: version 1.2's core schema, no tags, each key once, and bounded in every direction.

PyYAML reads version 1.1, in which `no` is false, `010` is 8 and `1:30` is 90, and the last of two equal keys counts
without a word. Its parser is taken here; what plain text means is by YAML 1.2, https://yaml.org/spec/1.2.2/#103.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from pipelines.sources.credentials import masked
from pipelines.sources.urls import redacted_text
from storage.errors import InputError

MOST_BYTES = 300_000  # of a file, two seconds of parsing at worst; the longest that ships has 5,000
MOST_CHARACTERS = 2_000_000  # once every alias is written out
DEEPEST = 40  # mappings and lists in one another; the tree of settings has 6
MOST_DIGITS = 100

TAG = "tag:yaml.org,2002:"
CORE_SCHEMA = {
    "merge": r"<<",
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}
ALLOWED = {"str", "seq", "map", *CORE_SCHEMA}


class Refused(yaml.MarkedYAMLError):
    """YAML, but none that a config may hold."""


class _Loader(yaml.SafeLoader):
    """Composes nodes, and refuses what is too deep, too large once its aliases are written out, or there twice."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._level = 0
        self._sizes: dict[int, tuple[int, int]] = {}  # of a finished node, by its identity: characters, depth

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        mark = self.peek_event().start_mark
        if self.check_event(yaml.AliasEvent):
            alias = super().compose_node(parent, index)
            if id(alias) not in self._sizes:
                raise Refused(problem="an alias stands inside of what it stands for", problem_mark=mark)
            return alias
        self._level += 1
        if self._level > DEEPEST:
            raise Refused(problem=f"it is nested more than {DEEPEST} deep", problem_mark=mark)
        node = super().compose_node(parent, index)
        self._level -= 1
        if node is not None:
            self._finish(node)
        return node

    def _finish(self, node: Node) -> None:
        if node.tag.removeprefix(TAG) not in ALLOWED or not node.tag.startswith(TAG):
            raise Refused(
                problem="it has a tag, and tags mean nothing here: leave it out", problem_mark=node.start_mark
            )
        if isinstance(node, MappingNode):
            _refuse_duplicates(node)
            _refuse_lone_keys(node)
        parts = [self._sizes[id(part)] for part in _parts(node)]
        text = len(node.value) if isinstance(node, ScalarNode) else 0
        characters = 1 + text + sum(size for size, _ in parts)
        depth = 1 + max((depth for _, depth in parts), default=0)
        if characters > MOST_CHARACTERS or depth > DEEPEST:
            problem = "it is far too large, or too deep, once its aliases are written out"
            raise Refused(problem=problem, problem_mark=node.start_mark)
        self._sizes[id(node)] = characters, depth


_Loader.yaml_implicit_resolvers = {}
for name, pattern in CORE_SCHEMA.items():
    _Loader.add_implicit_resolver(TAG + name, re.compile(f"^(?:{pattern})$"), None)


class _Dumper(yaml.SafeDumper):
    """Quotes what either version of YAML takes for something else than text."""


for name, pattern in CORE_SCHEMA.items():
    _Dumper.add_implicit_resolver(TAG + name, re.compile(f"^(?:{pattern})$"), None)


def parse_yaml(text: str, where: str) -> Any:
    """Return the value that the text stands for; a key with nothing behind it says nothing, and is left out.

    Raises:
        InputError: it is no YAML, or none that a config may hold. The sentence begins with `where` and names the line.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        return None if node is None else _value(node)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InputError(
            f"{where} is not YAML: line {line} has the control character #x{error.character:02x}"
        ) from None
    except Refused as error:
        raise InputError(f"{where}, {_place(error)}: {shorten(str(error.problem), 300)}") from None
    except yaml.MarkedYAMLError as error:
        hint = "; indent with spaces" if "'\\t'" in str(error.problem) else ""
        said = ", ".join(filter(None, [error.context, error.problem]))
        raise InputError(f"{where} is not YAML: {_place(error)}: {shorten(said, 300)}{hint}") from None


def read_yaml(path: Path) -> Any:
    """Return the content of a file, as `parse_yaml` gives it.

    Raises:
        InputError: as parse_yaml, or the file cannot be read, is no text, or far too large.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)  # of a device or of /proc the size is not known before
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
    if len(content) > MOST_BYTES:
        raise InputError(f"{path} is longer than {MOST_BYTES:,} bytes, and hardly a config; give another file")
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return parse_yaml(content.decode(encoding), str(path))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path} is not YAML: line {line} is not UTF-8; save the file as UTF-8") from None


def write_yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _parts(node: Node) -> Iterator[Node]:
    if isinstance(node, SequenceNode):
        yield from node.value
    elif isinstance(node, MappingNode):
        for key, value in node.value:
            yield key
            yield value


def _refuse_duplicates(node: MappingNode) -> None:
    seen: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, ScalarNode) or not key.value:
            raise Refused(problem="a key must be a word of text", problem_mark=key.start_mark)
        if key.value in seen:
            name, both = shorten(key.value, 80), f"in line {seen[key.value]} and in line {line}"
            raise Refused(problem=f"key `{name}` stands there twice, {both}; keep one", problem_mark=key.start_mark)
        seen[key.value] = line


def _refuse_lone_keys(node: MappingNode) -> None:
    """Refuse `{rate: 1,5}`, which is a rate of 1 and a key `5` without a word behind it."""
    for key, value in node.value:
        between = value.start_mark.buffer[key.end_mark.pointer : value.start_mark.pointer]
        if _is_empty(value) and ":" not in between:
            name = shorten(key.value, 80)
            problem = f"`{name}` has no colon and no value: decimals have a point, text with a comma quotes"
            raise Refused(problem=problem, problem_mark=key.start_mark)


def _value(node: Node) -> Any:
    if isinstance(node, ScalarNode):
        return _scalar(node)
    if isinstance(node, SequenceNode):
        return [_value(item) for item in node.value]
    merged: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for key, value in node.value:
        if key.tag == f"{TAG}merge":
            for mapping in reversed(value.value if isinstance(value, SequenceNode) else [value]):
                if not isinstance(mapping, MappingNode):
                    raise Refused(problem="`<<` takes a mapping, or a list of them", problem_mark=key.start_mark)
                merged |= _value(mapping)
        elif not _is_empty(value):
            own[key.value] = _value(value)
    return merged | own


def _is_empty(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.tag == f"{TAG}null" and not node.value


def _scalar(node: ScalarNode) -> Any:
    kind, text = node.tag.removeprefix(TAG), node.value
    if kind == "int" and len(text) > MOST_DIGITS:
        raise Refused(problem=f"a number of {len(text):,} digits; give a smaller one", problem_mark=node.start_mark)
    if kind == "int" and re.fullmatch("[-+]?0[0-9]+", text):
        problem = "with leading zeros a number is octal to some programs: drop them, or quote it as text"
        raise Refused(problem=problem, problem_mark=node.start_mark)
    if kind in _READ and not re.fullmatch(CORE_SCHEMA[kind], text):  # only where a tag claims it, as `!!bool yes`
        raise Refused(problem=f"it is no {kind}", problem_mark=node.start_mark)
    return _READ.get(kind, str)(text)


def _integer(text: str) -> int:
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


def _float(text: str) -> float:
    return float(text.replace(".inf", "inf").replace(".nan", "nan") if text[-1:].isalpha() else text)


_READ: Mapping[str, Any] = {
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": _integer,
    "float": lambda text: _float(text.lower()),
}


def _place(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"


# `--set field=value`: a branch of the config tree, written on the command line.


def parse_overrides(overrides: list[str]) -> dict[str, Any]:
    """Turn `training.steps=100` into {"training": {"steps": 100}}; values are YAML."""
    tree: dict[str, Any] = {}
    for override in overrides:
        field, equals, text = override.partition("=")
        *parents, leaf = map(str.strip, field.split("."))
        shown = f"{field}=***" if parents == ["secret_blocks"] else override
        shown = f"{field}=***" if equals and masked(text, leaf) != text else redacted_text(shown)
        if not equals or not all([*parents, leaf]):
            raise InputError(f"--set {shown}: write it as field=value, like --set training.steps=100")
        if not text.strip():
            raise InputError(f"--set {shown}: give a value, or null to take {field} away, back to its default")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
            if not isinstance(branch, dict):
                raise InputError(f"--set {shown}: {parent} was given a value of its own before; give one of the two")
        if isinstance(branch.get(leaf), dict):
            raise InputError(f"--set {shown}: fields of {leaf} were given before; give one of the two")
        branch[leaf] = parse_yaml(text, f"--set {shown}: the value")
    return tree
