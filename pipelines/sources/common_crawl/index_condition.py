"""The condition on pages of Common Crawl's columnar index: as SQL with parameters, and as bounds that prune row groups.

Columns: https://github.com/commoncrawl/cc-index-table/blob/main/src/main/resources/schema/cc-index-schema-flat.json
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow.parquet as pq

from pipelines.settings import CommonCrawlIndexSource
from pipelines.sources.remote import LOCATION
from pipelines.sources.urls import ascii_host_pattern
from storage.duckdb_connection import connect_quietly
from storage.errors import InputError

MAX_RECORD_BYTES = 64 << 20  # of one compressed record; Common Crawl cuts pages at 5 MB
Interval = tuple[Any, Any]  # closed


@dataclass(frozen=True, slots=True)
class Condition:
    """`sql` holds `parameters` by name and, apart from the user's own `where`, no text of the user's.

    `intervals`: in a row that fits, each of these columns lies in one of its closed intervals.
    """

    sql: str
    parameters: dict[str, Any]
    columns: tuple[str, ...]
    intervals: Mapping[str, Sequence[Interval]]


def condition(name: str, source: CommonCrawlIndexSource) -> Condition:
    """Return the condition of a source. Raises InputError when its `where` is not one SQL expression."""
    clauses = ["warc_record_offset >= 0", "warc_record_length BETWEEN 1 AND $max_record_bytes"]
    parameters: dict[str, Any] = {"max_record_bytes": MAX_RECORD_BYTES}
    columns = list(LOCATION)
    intervals: dict[str, list[Interval]] = {}

    def add(column: str, clause: str, parameter: str, values: Sequence[Any], bounds: list[Interval]) -> None:
        if values:
            clauses.append(clause)
            parameters[parameter] = list(values)
            columns.append(column)
            intervals[column] = bounds

    # Several languages stand as "hun,eng", the main one first; "-" follows "," in the order of characters.
    languages = source.languages
    first = "split_part(content_languages, ',', 1) IN (SELECT unnest($languages))"
    add("content_languages", first, "languages", languages, [(code, f"{code}-") for code in languages])
    domains = [domain.lower().lstrip(".") for domain in source.top_level_domains]
    in_domain = "url_host_tld IN (SELECT unnest($top_level_domains))"
    add("url_host_tld", in_domain, "top_level_domains", domains, [(domain, domain) for domain in domains])
    mime_types = source.mime_types
    of_type = "content_mime_detected IN (SELECT unnest($mime_types))"
    add("content_mime_detected", of_type, "mime_types", mime_types, [(mime, mime) for mime in mime_types])
    with_status = "fetch_status IN (SELECT unnest($status))"
    add("fetch_status", with_status, "status", source.status, [(status, status) for status in source.status])
    hosts = [_as_in_index(name, host) for host in source.hosts]
    if hosts:
        clauses.append("list_bool_or(list_transform($hosts, lambda pattern: url_host_name GLOB pattern))")
        parameters["hosts"] = hosts
        columns.append("url_host_name")
        keys = [key for host in hosts if (key := _surt_interval(host)) is not None]
        if len(keys) == len(hosts):
            intervals["url_surtkey"] = keys
    if source.where is not None:
        columns += _columns_of(name, source.where)
        clauses.append(f"({source.where}\n)")  # the line break ends a comment in it
    return Condition(" AND ".join(clauses), parameters, tuple(dict.fromkeys(columns)), intervals)


def may_fit(row_group: pq.RowGroupMetaData, of_column: Mapping[str, int], wanted: Condition) -> bool:
    """Tell whether a row group may hold a row that fits, by the smallest and largest values that its footer states."""
    for column, intervals in wanted.intervals.items():
        if column not in of_column:
            continue
        statistics = row_group.column(of_column[column]).statistics
        if statistics is None or not statistics.has_min_max:
            continue
        low, high = statistics.min, statistics.max
        if type(low) is type(intervals[0][0]) and not any(low <= end and start <= high for start, end in intervals):
            return False
    return True


def _as_in_index(name: str, host: str) -> str:
    """Return a host pattern as the index writes hosts: in lower case, other scripts in Punycode."""
    pattern = ascii_host_pattern(host)
    if any(not label or len(label) > 63 for label in pattern.split(".")):
        raise InputError(
            f"sources.{name}.hosts: {host!r} is no host (a part of it is empty or over 63 characters): correct it"
        )
    return pattern


def _surt_interval(host: str) -> Interval | None:
    """Return where the index's sort key, hu,example)/path, stands for a host or *.host; None if that cannot be told."""
    labels = host.removeprefix("*.").split(".")
    if re.fullmatch(r"www\d*", labels[0]):  # the key leaves it out
        labels = labels[1:]
    if len(labels) < 2 or set("*?[") & set(".".join(labels)) or labels[-1].isdigit():
        return None
    key = ",".join(reversed(labels))
    return key, f"{key}\U0010ffff"


def connect_for_condition() -> duckdb.DuckDBPyConnection:
    """Open a DuckDB in which a name in the user's condition is a column, never a Python variable."""
    return connect_quietly(python_enable_replacements="false")


def _columns_of(name: str, where: str) -> list[str]:
    """Return the columns that an expression names. DuckDB parses it and says so; nothing is run."""
    names: list[str] = []
    with connect_for_condition() as connection:
        # In brackets alone, "a) OR (b" would pass; bare alone, "a ORDER BY b".
        for expression in (f"({where}\n)", f"{where}\n"):
            statement = f"SELECT 1 FROM captures WHERE {expression}"  # noqa: S608 (it is parsed, not run)
            [[serialised]] = connection.execute("SELECT json_serialize_sql(?)", [statement]).fetchall()
            parsed: dict[str, Any] = json.loads(serialised)
            if parsed["error"] or len(parsed["statements"]) != 1:
                reason = parsed.get("error_message", "it is more than one expression")
                raise InputError(
                    f"sources.{name}.where: {reason}; write one SQL condition, like content_charset = 'UTF-8'"
                )
            _collect(parsed["statements"][0]["node"]["where_clause"], names)
    return names


def _collect(node: Any, names: list[str]) -> None:
    if isinstance(node, dict):
        if node.get("class") == "COLUMN_REF":
            names.append(node["column_names"][-1].lower())
        for child in node.values():
            _collect(child, names)
    elif isinstance(node, list):
        for child in node:
            _collect(child, names)
