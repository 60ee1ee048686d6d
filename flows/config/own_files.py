"""Tells what of a user's own files can be read: the source of a study that reads them, and the fix where none does."""

import json
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from pipelines.sources.text_files import known_kinds, text_suffix
from storage.errors import InputError

WARC_SUFFIXES = (".warc.gz", ".warc.zst", ".warc", ".wet.gz", ".wet")
LOOKED_AT = 10_000  # files of a folder
LONGEST_LINE = 1 << 24  # bytes of a first row that is looked at for the text's field
TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz")


def is_text(name: str) -> bool:
    """Tell whether a file is text by its name, and not perhaps a config (.json, .txt)."""
    suffix = text_suffix(name)
    return name.lower().endswith((*TABLES, *WARC_SUFFIXES)) or suffix not in (None, ".json", ".txt")


def refuse_unknown_kind(where: str, files: Iterable[Path]) -> None:
    """Raise InputError, which begins with `where`, for the first of some files that no text source reads."""
    for file in files:
        if text_suffix(file.name) is None and file.is_file():
            raise InputError(f"{where}: {file} is of no known kind: {known_kinds()} are read; {remedy(file.name)}")


def remedy(name: str) -> str:
    """Return what makes text that is read of a file of another kind."""
    if name.lower().endswith(TABLES):
        to = f"{name[: name.lower().rindex('.csv' if '.csv' in name.lower() else '.tsv')]}.parquet"
        command = f"import duckdb; duckdb.read_csv({name!r}).write_parquet({to!r})"
        return f'write the table as Parquet, by python -c "{command}"'
    return 'write each text as an object in a line of JSON, like {"text": "..."}, or save it as plain text, .txt'


def source_of(folder: Path, given: str, option: str) -> dict[str, Any]:
    """Return the source that reads a user's folder, file or URL, with paths as they are written in `folder`.

    Raises InputError, which begins with `option`, where nothing is there, or nothing that is read.
    """
    path, files = Path(given).expanduser(), list[Path]()
    if not given:
        raise InputError(f"{option} is empty; give the folder or file of your text with it")
    if "://" in given:
        kind, paths = _kind(given, option), [given]
    elif path.is_dir():
        suffix, files = _commonest(path, option)
        kind, paths = _kind(suffix, option), [f"{written_from(folder, path)}/**/*{suffix}"]
    elif path.is_file():
        kind, paths, files = _kind(path.name, option), [written_from(folder, path)], [path]
    else:
        raise InputError(f"{option}: there is no {given}; give the folder or file of your text with it")
    source: dict[str, Any] = {"kind": kind, "paths": paths}
    if files and not any(file.stat().st_size for file in files):
        raise InputError(f"{option}: {given} is empty; give the folder or file of your text with it")
    field = _text_field(files[0], option) if kind == "text" and files else None
    return source if field in (None, "text") else {**source, "text_field": field}


def _commonest(folder: Path, option: str) -> tuple[str, list[Path]]:
    """Return the ending that most files of a folder have, of those that are read, and the files with it."""
    found: dict[str, list[Path]] = {}
    others: list[Path] = []
    for path in islice(sorted(folder.rglob("*")), LOOKED_AT):
        if path.is_file():
            (found.setdefault(suffix, []) if (suffix := _suffix(path.name)) else others).append(path)
    if not found:
        there = f", as {others[0].name} is not: {remedy(others[0].name)}" if others else "; put some there"
        raise InputError(f"{option}: {folder} holds no text of a kind that is read ({_kinds()}){there}")
    [(suffix, _)] = Counter({suffix: len(paths) for suffix, paths in found.items()}).most_common(1)
    return suffix, found[suffix]


def _suffix(name: str) -> str | None:
    return next((end for end in WARC_SUFFIXES if name.lower().endswith(end)), None) or text_suffix(name)


def _kinds() -> str:
    return f"{known_kinds()}, and {', '.join(WARC_SUFFIXES)}"


def _kind(name: str, option: str) -> str:
    suffix = _suffix(name)
    if suffix is None:
        raise InputError(f"{option}: {name} is of no known kind: {_kinds()} are read; {remedy(name)}")
    return "warc" if suffix in WARC_SUFFIXES else "text"


def written_from(folder: Path, path: Path) -> str:
    """Return a path as it is written from `folder`: beside or below it as it is short, else absolute."""
    whole = path.expanduser().resolve()
    return str(whole.relative_to(folder.resolve())) if whole.is_relative_to(folder.resolve()) else str(whole)


def _text_field(file: Path, option: str) -> str | None:
    """Return the field of the first row that holds its text: `text`, else its longest string; None if none is seen.

    Raises InputError, which begins with `option`, for a row of numbers alone.
    """
    row = _first_row(file)
    if row and all(isinstance(value, int | float | None) for value in row.values()):
        raise InputError(f"{option}: the first row of {file} has no text, only {', '.join(row)}; give rows with a text")
    strings = {name: value for name, value in row.items() if isinstance(value, str)}
    if "text" in strings or not strings:
        return "text" if "text" in strings else None
    return max(strings, key=lambda name: len(strings[name]))


def _first_row(file: Path) -> dict[str, Any]:
    """Return the first row of JSON lines or Parquet; {} of what is neither, or is damaged: a refresh says so."""
    import fsspec
    import pyarrow.parquet as pq

    suffix = text_suffix(file.name) or ""
    try:
        if suffix == ".parquet":
            batch = next(pq.ParquetFile(file).iter_batches(batch_size=1), None)
            return dict(batch.to_pylist()[0]) if batch and batch.num_rows else {}
        if suffix.startswith((".jsonl", ".ndjson", ".jl")):
            with fsspec.open(str(file.resolve()), compression="infer") as stream:
                row = json.loads(stream.readline(LONGEST_LINE))
            return row if isinstance(row, dict) else {}
    except (OSError, EOFError, ValueError, RecursionError, ArithmeticError, LookupError):  # also of odd dates
        return {}
    return {}
