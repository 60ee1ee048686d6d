"""Write SQL whose values, and columns of one name, Python keeps as they are."""

from typing import Any, cast

import duckdb
from duckdb.sqltypes import DuckDBPyType

ANSWER = "answer_of_a_pivot"  # a table of the connection alone
_DATED = ("date", "timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns", "timestamp with time zone")
# Python's are days and microseconds: a month would be 30 days.
_AS_TEXT = ("interval", "time_ns")


def for_python(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """Return a statement of whose values Python makes no others: infinite dates and times are NULL (they would be its
    last and first days), and intervals and nanoseconds are text."""
    [statement] = connection.extract_statements(sql)
    if statement.type == duckdb.StatementType.MULTI:  # a PIVOT, run as several: it would be run here and once more
        connection.execute(f"CREATE TEMP TABLE {ANSWER} AS {sql}")
        sql = f"FROM {ANSWER}"
    elif statement.type != duckdb.StatementType.SELECT:
        return sql
    found = connection.sql(sql)
    fields = [_kept(f"#{n}", kind) for n, kind in enumerate(found.types, 1)] if found is not None else []
    if all(field == f"#{n}" for n, field in enumerate(fields, 1)):
        return sql
    names = map(quoted, unique(found.columns))
    return found.project(", ".join(f"{field} AS {name}" for field, name in zip(fields, names, strict=True))).sql_query()


def _kept(value: str, kind: DuckDBPyType, depth: int = 0) -> str:
    """Return SQL that makes NULL of what is infinite in a value, and text of what Python would change: `value` itself
    where nothing in it is either."""
    if kind.id in _DATED:
        shown = f"replace({value}::VARCHAR, ' ', 'T')" if kind.id == "timestamp_ns" else value
        return f"CASE WHEN isfinite({value}) THEN {shown} END"
    if kind.id in _AS_TEXT:
        return f"{value}::VARCHAR"
    if kind.id not in ("list", "array", "struct", "tuple", "map", "union"):
        return value
    each, named = f"x{depth}", list(kind.children)
    children: dict[str, Any] = dict(named)
    if kind.id in ("list", "array"):
        inner = _kept(each, children["child"], depth + 1)
        return value if inner == each else f"list_transform({value}, lambda {each}: {inner})"
    if kind.id == "map":  # no key may be NULL: infinite ones are words
        key, inner = f"{each}.key", _kept(f"{each}.value", children["value"], depth + 1)
        if children["key"].id in _DATED:
            key = f"replace({key}::VARCHAR, ' ', 'T')"
        elif children["key"].id in _AS_TEXT:
            key = f"{key}::VARCHAR"
        entry = f"{{'key': {key}, 'value': {inner}}}"
        entries = f"map_from_entries(list_transform(map_entries({value}), lambda {each}: {entry}))"
        return value if (key, inner) == (f"{each}.key", f"{each}.value") else entries
    if kind.id == "union":
        return _kept_member(value, kind, depth)
    # Those of row() have no names, only places.
    places = [_literal(name) if name else str(place) for place, (name, _) in enumerate(named, 1)]
    parts = [f"struct_extract({value}, {place})" for place in places]
    kept: list[str] = []
    for part, (_, child) in zip(parts, named, strict=True):
        of_struct: Any = child
        kept.append(_kept(part, of_struct, depth + 1))
    if kept == parts:
        return value
    if not all(name for name, _ in named):
        return f"CASE WHEN {value} IS NOT NULL THEN row({', '.join(kept)}) END"
    packed = ", ".join(f"{place}: {part}" for place, part in zip(places, kept, strict=True))
    return f"CASE WHEN {value} IS NOT NULL THEN {{{packed}}} END"


def _kept_member(value: str, kind: DuckDBPyType, depth: int) -> str:
    """Return `_kept` of a union: of the member that a value of it is."""
    cases = []
    for name, child in list(kind.children)[1:]:  # the first is the tag
        part, member = f"union_extract({value}, {_literal(name)})", child
        kept = _kept(part, cast("DuckDBPyType", member), depth)
        if kept != part:
            cases.append(f"WHEN {_literal(name)} THEN union_value({quoted(name)} := {kept})::{_type(kind)}")
    return f"CASE union_tag({value}) {' '.join(cases)} ELSE {value}::{_type(kind)} END" if cases else value


def _type(kind: DuckDBPyType) -> str:
    """Return the type of what `_kept` makes of a value: a union is one of several, which have to be told."""
    if kind.id in (*_AS_TEXT, "timestamp_ns"):
        return "VARCHAR"
    if kind.id not in ("list", "array", "struct", "tuple", "map", "union"):
        return str(kind)
    named = list(kind.children)
    if kind.id == "array":  # whose children are the type and how many
        named = named[:1]
    children = [(name, _type(cast("DuckDBPyType", child))) for name, child in named]
    if kind.id in ("list", "array"):
        [(_, inner)] = children
        return str(kind) if inner == str(named[0][1]) else f"{inner}[]"
    if kind.id == "map":
        return f"MAP({children[0][1]}, {children[1][1]})"
    if kind.id == "tuple":
        return f"{str(kind).partition('(')[0]}({', '.join(inner for _, inner in children)})"
    fields = children if kind.id == "struct" else children[1:]  # the first of a union is its tag
    return f"{kind.id.upper()}({', '.join(f'{quoted(name)} {inner}' for name, inner in fields)})"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def unique(names: list[str]) -> list[str]:
    """Tell columns of one name apart, in any case of letters, as DuckDB does: a, a_1."""
    taken = {name.lower() for name in names}
    seen: set[str] = set()
    told = []
    for name in names:
        number, own = 0, name
        while own.lower() in seen or (number and own.lower() in taken):
            number += 1
            own = f"{name}_{number}"
        seen.add(own.lower())
        told.append(own)
    return told


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
