"""Read text sources, as public corpora ship them: texts that enter the pipeline after main content.

JSON lines (or one array of objects), Parquet, and plain text, of which a file is one document. A damaged row group of a
Parquet file costs itself where that can be, and none takes more memory than it may.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.memory_limit import new_memory_limited
from pipelines.sources.retries import ReadFailure
from pipelines.sources.text_rows import BYTES_OF_UTF8, URL, Decode, Row, json_rows, plain_text
from pipelines.sources.urls import host_of
from storage.errors import InputError

JSON_KINDS = (".jsonl", ".ndjson", ".json", ".jsonlines", ".jl")
COMPRESSIONS = ("", ".gz", ".zst", ".bz2", ".xz")
TEXT_SUFFIXES = (*(kind + packed for kind in (*JSON_KINDS, ".txt") for packed in COMPRESSIONS), ".parquet")
# So many objects without the text's field are read before it is taken for the wrong one.
MAX_WITHOUT_TEXT = 10_000
_NAMES_SHOWN = 20
_MIN_NO_OBJECTS = 3  # lines: one or two may be damaged
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class TextRecord:
    """One row of a text source. `fault` says why there is no text in it: unreadable, no_text or oversize."""

    record_id: str
    title: str
    text: str
    fault: str | None
    has_own_id: bool = False  # `record_id` is the source's, not file name and row number
    url: str = ""  # address of the page that the text was taken from, if the row gives one


def text_suffix(name: str) -> str | None:
    """Return the ending of a file's name that tells how it is read; None if it is of no known kind."""
    return next((suffix for suffix in sorted(TEXT_SUFFIXES, key=len)[::-1] if name.lower().endswith(suffix)), None)


def known_kinds() -> str:
    return f"{', '.join((*JSON_KINDS, '.txt'))} (also as {', '.join(COMPRESSIONS[1:])}) and .parquet"


def read_text(
    path: Path, options: Mapping[str, Any], max_bytes: int, decode: Decode = lambda content: None
) -> Iterator[TextRecord | ReadFailure]:
    """Yield a TextRecord per row, and a ReadFailure where the file breaks.

    `options` holds text_field, id_field, title_field and, where a source names it, url_field. `decode` is asked for
    plain text that is no UTF-8. Raises InputError when the file is of no known kind, or no row has the field of the
    text, or the one that a source names for the address: opt-outs would be passed over in silence.
    """
    suffix = text_suffix(path.name)
    if suffix is None:
        raise InputError(f"{path} is of no known kind: a text source reads {known_kinds()}")
    rows = _rows(path, suffix, options, max_bytes, decode)
    fields = _Fields(path, options)
    for number, row in enumerate(rows):
        if isinstance(row, ReadFailure):
            yield row
        else:
            # A remote file is read under another name than its own.
            record = _record(row, options, f"{options.get('file_name', path.name)}:{number}", max_bytes)
            if suffix.startswith(JSON_KINDS):
                fields.look_at(row, record)
            yield record
    fields.end()


def _rows(path: Path, suffix: str, options: Mapping[str, Any], max_bytes: int, decode: Decode) -> Iterator[Row]:
    if suffix == ".parquet":
        names = {name: options.get(name) for name in ("text_field", "id_field", "title_field", "url_field")}
        return parquet_rows(path, names, max_bytes)
    if suffix.startswith(".txt"):
        return plain_text(path, options["text_field"], max_bytes, decode)
    return json_rows(path, max_bytes)


class _Fields:
    """Watches whether the rows of a JSON file have the fields that text and address are said to be in, and which they
    have instead.
    """

    def __init__(self, path: Path, options: Mapping[str, Any]) -> None:
        self._path, self._rows, self._no_objects, self._names = path, 0, 0, dict[str, str]()
        self._text_field = options["text_field"]
        self._unseen = {name: field for name in ("text_field", "url_field") if (field := options.get(name))}

    def look_at(self, row: Mapping[str, Any] | str, record: TextRecord) -> None:
        if not self._unseen:
            return
        if isinstance(row, str):
            self._no_objects += row == "unreadable"
            if row != "unreadable":
                self._unseen.pop("text_field", None)
            return
        if record.fault != "no_text":
            self._unseen.pop("text_field", None)
        if (field := self._unseen.get("url_field")) and value_of(row, field, _ABSENT) is not _ABSENT:
            del self._unseen["url_field"]
        self._rows += 1
        for name, value in row.items():
            if len(self._names) < _NAMES_SHOWN:
                self._names.setdefault(name[:100], type(value).__name__)
        if self._rows >= MAX_WITHOUT_TEXT and "text_field" in self._unseen:
            self.end()

    def end(self) -> None:
        """Raise InputError where there were rows, but not one with the field."""
        if not self._unseen:
            return
        if not self._rows and self._no_objects >= _MIN_NO_OBJECTS:
            raise InputError(
                f"{self._path}: none of its {self._no_objects} lines is a JSON object in UTF-8, such as "
                f'{{"{self._text_field}": "..."}}: write it as JSON lines, or as .txt where it is plain text'
            )
        if not self._rows:
            return
        option, field = next(iter(self._unseen.items()))
        names = ", ".join(f"{name!r} ({kind})" for name, kind in self._names.items())
        within = next((name for name, kind in self._names.items() if kind == "list"), None)
        or_apart = ""
        if self._rows == 1 and within is not None:
            or_apart = f", or write the elements of {within!r} as objects in lines of their own, if they are the rows"
        raise InputError(
            f"{self._path} has no {'text' if option == 'text_field' else 'address'} in the field {field!r} of its "
            f"{self._rows} rows; they have {names}: set the source's {option}{or_apart}"
        )


def _record(row: Mapping[str, Any] | str, options: Mapping[str, Any], name: str, max_bytes: int) -> TextRecord:
    if isinstance(row, str):
        return TextRecord(name, "", "", row)
    own = value_of(row, options["id_field"]) if options["id_field"] else None
    name = name if own is None else str(own)
    title = str(value_of(row, options["title_field"]) or "") if options["title_field"] else ""
    url = _address(value_of(row, options.get("url_field") or _url_field(row)))
    text = value_of(row, options["text_field"])
    if not isinstance(text, str):
        return TextRecord(name, title, "", "no_text", own is not None, url)
    if len(text) > max_bytes:
        return TextRecord(name, title, "", "oversize", own is not None, url)
    return TextRecord(name, title, text, None, own is not None, url)


def value_of(row: Mapping[str, Any], field: str, absent: Any = None) -> Any:
    """Return a field of a row; `a.b` is field b of the object in a, unless the row has a field of that very name."""
    if field in row:
        return row[field]
    value: Any = row
    for name in field.split("."):
        value = value.get(name, absent) if isinstance(value, Mapping) else absent
    return value


def _url_field(names: Iterable[str]) -> str:
    """Return the field of the address where a source names none: `url`, or the same in other letters (`URL`)."""
    return next((name for name in names if name.lower() == URL), URL)


def _address(value: object) -> str:
    """Return a row's address, with a scheme; '' if it is none."""
    if not isinstance(value, str):
        return ""
    value = value.strip()
    if "://" not in value:
        value = value.removeprefix("//")
        value = f"http://{value}" if "." in value.partition("/")[0] else ""
    return value if host_of(value) else ""


# Rows are read few at a time: where they share one entry of a dictionary, each of them comes with a copy of it.
_BATCH_ROWS, _MAX_BATCH_BYTES = 4, 400_000_000


def parquet_rows(path: Path, fields: Mapping[str, str | None], max_bytes: int) -> Iterator[Row]:
    """Yield rows with what `fields` names: text_field, and id_field, title_field and url_field as far as they are
    set.
    """
    try:
        with new_memory_limited(_MAX_BATCH_BYTES):
            file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is not a Parquet file ({error}): take it out of the source's paths") from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} has a column whose name is no UTF-8 ({error.object!r}): write it anew with other names"
        ) from None
    with file:
        columns = _columns(path, file.schema_arrow, fields)
        for group in range(file.num_row_groups):
            done = 0
            try:
                for row in _rows_of_group(file, group, columns, str(fields["text_field"]), max_bytes):
                    done += 1
                    yield row
            except (pa.ArrowException, OSError, MemoryError) as error:
                lost = file.metadata.row_group(group).num_rows - done
                yield ReadFailure(0, f"{error}: {lost} rows of row group {group} are lost")


def _columns(path: Path, schema: pa.Schema, fields: Mapping[str, str | None]) -> dict[str, list[str]]:
    """Return the way to each field's column: its name, or the names of a column and of the fields in it."""
    found: dict[str, list[str]] = {}
    missing = []
    for name in filter(None, fields.values()):
        way = [name] if name in schema.names else name.split(".")
        kind = schema
        if schema.names.count(way[0]) > 1:
            raise InputError(f"{path} has several columns {way[0]}: give each a name of its own")
        for step in way:
            kind = kind.field(step).type if _has(kind, step) else None
        if kind is None:
            missing.append(name)
        else:
            found[name] = way
        if name == fields["text_field"] and kind is not None and not _is_text(kind):
            raise InputError(f"{path}: its column {name} holds {kind}, no text: set the source's text_field to another")
    if missing:
        raise InputError(f"{path} has no column {sorted(missing)}, only {schema.names}: set the source's field names")
    if not fields.get("url_field") and (name := _url_field(schema.names)) in schema.names:
        found[name] = [name]
    return found


def _has(kind: Any, name: str) -> bool:
    if isinstance(kind, pa.Schema):
        return name in kind.names
    return kind is not None and pa.types.is_struct(kind) and kind.get_field_index(name) >= 0


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in (*tests, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view))


def _rows_of_group(
    file: pq.ParquetFile, group: int, columns: Mapping[str, Sequence[str]], text: str, max_bytes: int
) -> Iterator[Row]:
    wanted = sorted({way[0] for way in columns.values()})
    batches = file.iter_batches(batch_size=_BATCH_ROWS, row_groups=[group], columns=wanted, use_threads=False)
    while True:
        with new_memory_limited(_MAX_BATCH_BYTES):
            batch = next(batches, None)
        if batch is None:
            return
        values = {name: _values(batch, way, max_bytes) for name, way in columns.items()}
        for number in range(batch.num_rows):
            row = {name: column[number] for name, column in values.items()}
            fault = row[text]
            yield (
                fault.reason
                if isinstance(fault, _Fault)
                else {name: None if isinstance(value, _Fault) else value for name, value in row.items()}
            )


@dataclass(frozen=True, slots=True)
class _Fault:
    """Stands in the place of a value that cannot be had."""

    reason: str


def _values(batch: pa.RecordBatch, way: Sequence[str], max_bytes: int) -> list[Any]:
    """Return the values of a column. Bytes of a string that are no UTF-8 cost that value, not the batch."""
    column = batch.column(way[0])
    for name in way[1:]:
        column = pc.struct_field(column, name)
    if not _is_text(column.type):
        return [_scalar(value) for value in column]
    return [_text(value, max_bytes) for value in column]


def _text(value: pa.Scalar, max_bytes: int) -> str | _Fault | None:
    if isinstance(value, pa.DictionaryScalar):  # no entry is copied for each row that has it
        value = value.value
    if not value.is_valid:
        return None
    content = value.as_buffer()
    return _Fault("oversize") if content.size > BYTES_OF_UTF8 * max_bytes else _decoded(content.to_pybytes())


def _decoded(value: bytes) -> str | _Fault:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return _Fault("unreadable")


def _scalar(value: Any) -> Any:
    """Return a value as Python's; None for what Python has not: years after 9999, unknown time zones, broken UTF-8."""
    try:
        return value.as_py()
    except (ValueError, ArithmeticError, LookupError, pa.ArrowException):
        return None
