"""Shows pages that left a corpus for a reason, each beside one that stayed; or one document, all that is known of it.

Of a document: what became of it in each corpus, and its record, read again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flows.maintenance.published_version import TAKEN_DOWN, Page, PublishedVersion
from flows.maintenance.rollback import current
from flows.maintenance.verdicts import verdict_of
from pipelines.denylist import DenyList, denied_hosts
from pipelines.documents.row import MAX_URL_CHARACTERS, SCHEMA, STAGE_OF_REASON
from pipelines.pages.characters import one_line
from pipelines.pages.charset.decode import decode
from pipelines.pages.extract import all_text
from pipelines.pages.parse import parse
from pipelines.pages.warc import Capture
from pipelines.pages.warc.capture import StoredRecord, read_stored
from pipelines.pages.warc.http_body import BodyTooLarge, undo_transfer
from pipelines.settings import CommonCrawlSource, DocumentSettings, FetchSettings
from pipelines.sources.common_crawl.snapshots import address
from pipelines.sources.remote import ByteRange, Remote
from pipelines.sources.work_units import read_report, read_units
from storage.duckdb_connection import connect_quietly
from storage.errors import InputError
from storage.workspace import Workspace

_MAX_BYTES = DocumentSettings().max_bytes
# What may hang, crash or fill the memory where it is parsed.
_NOT_PARSED = ("poison_record", "dom_too_large", "dom_too_deep", "extraction_failed", "not_html")
_KEPT_FROM_SIGHT = ("text", "signature", "text_hash")  # among the fields of a document


@dataclass(frozen=True)
class Pair:
    """A page that left, one that stayed (of a copy, the one it is like), and what is known of the two."""

    left: Page
    kept: Page | None
    note: str


def inspect_pages(workspace: Workspace, corpus: str, reason: str, number: int) -> list[Pair]:
    """Return at most `number` pages that left the version in use for `reason`, one of those in its funnel or in its
    units'.

    Raises InputError for a corpus or a reason that there is not.
    """
    version = PublishedVersion(workspace, corpus, current(workspace, corpus))
    left = version.left_after_filter(reason, number)
    if not left:
        left = [(doc_no, None, "") for doc_no in version.left_by_filter(reason, number)]
    if not left:
        known = sorted({row["reason"] for row in version.manifest["counts"]["funnel"]} - {"kept"})
        if reason in known:  # they were in the shards of the version before, which are taken over
            raise InputError(f"which pages left corpus {corpus} for {reason!r} is told by `nr verdicts {corpus} OUT`")
        others = f"reasons are: {', '.join(known)}" if known else "none left it for any: all that was read is in it"
        raise InputError(f"no page left corpus {corpus} for reason {reason!r}; {others}")
    stayed = version.kept_pages(len(left))
    return [
        Pair(version.page(doc_no), version.page(like) if like is not None else next(stayed, None), note)
        for doc_no, like, note in left
    ]


@dataclass
class Inspected:
    """A document. `text` is empty where it may not be shown or there is none; `record` is there if it was fetched."""

    fields: dict[str, Any]
    verdicts: list[tuple[str, str, str, str]]  # corpus, version, stage, reason
    text: str
    text_is: str  # what the text is, or why there is none
    record: StoredRecord | None = None


def inspect_document(workspace: Workspace, asked: str, fetch: bool = False, file: str | None = None) -> Inspected:
    """Return the document of this doc_id or address, with its record if `fetch` (out of `file`, if it was moved).

    Of several captures of an address the one that was read last. Raises InputError where there is none, or its record
    is not to be had.
    """
    row = _find(workspace, asked)
    denied = DenyList([entry.host for entry in denied_hosts(workspace)])
    hidden = _why_hidden(row, denied)
    shown = {name: value for name, value in row.items() if name not in _KEPT_FROM_SIGHT and value is not None}
    found = Inspected(shown, list(_verdicts(workspace, row)), "" if hidden else row["text"] or "", hidden or "its text")
    if fetch:
        found.record = _fetch(workspace, row, file)
        if not hidden and row["reason"] != "kept":
            found.text, found.text_is = _whole_text(found.record.capture, row["reason"]), "the whole text of the page"
    return found


def _find(workspace: Workspace, asked: str) -> dict[str, Any]:
    files = sorted((workspace.root / "documents").glob("*/*.parquet"), key=lambda file: file.stat().st_mtime)
    column = "url" if "://" in asked else "doc_id"
    places: list[tuple[str, int]] = []
    if files:
        with connect_quietly() as connection:
            places = connection.execute(
                f"SELECT filename, row FROM read_parquet($files, filename = true) WHERE {column} = $asked "  # noqa: S608
                "ORDER BY list_position($files, filename) DESC LIMIT 1",
                {"files": [str(file) for file in files], "asked": one_line(asked, MAX_URL_CHARACTERS)},
            ).fetchall()
    if not places:
        raise InputError(
            f"{asked!r} is no document of {workspace.root}: give a corpus's name, a doc_id (32 characters) or the "
            "address of a page as the crawl has it"
        )
    [(file, number)] = places
    [row] = pq.read_table(file, filters=[("row", "=", number)]).to_pylist()
    missing = dict.fromkeys(SCHEMA.names)  # columns that an earlier program did not write
    return missing | row | {"documents_key": Path(file).parent.name}


def _why_hidden(row: Mapping[str, Any], denied: DenyList) -> str | None:
    """Return why the text of a document is not shown."""
    if STAGE_OF_REASON[row["reason"]] == "opt_out":
        return f"no text: its owner keeps it out ({row['reason']})"
    if denied.mask(pa.table({"host": [row["host"]]})).any():
        return TAKEN_DOWN
    return None


def _verdicts(workspace: Workspace, row: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    for corpus in workspace.published_corpora():
        name = current(workspace, corpus)
        version = PublishedVersion(workspace, corpus, name)
        same = version.manifest["inputs"]["documents_key"] == row["documents_key"]
        if same and (verdict := verdict_of(version, row["unit_id"], row["doc_id"])):
            yield corpus, name, *verdict


def _fetch(workspace: Workspace, row: Mapping[str, Any], file: str | None) -> StoredRecord:
    report = read_report(workspace.documents(row["documents_key"]), row["unit_id"])
    if report is None or report.kind == "text":
        raise InputError(f"{row['doc_id']} is of a text source, which has no records: there is nothing to fetch")
    offset, length = row["warc_record_offset"], row["warc_record_length"]
    place = None if offset is None or length is None else ByteRange(offset, length)
    where = file or report.path
    if file is None and report.kind == "ranges":
        where = address(_server(workspace, row["unit_id"]), row["warc_filename"])

    def is_it(capture: Capture) -> bool:
        known = (row["url"], row["date"] or "", row["payload_bytes"])
        return known == (one_line(capture.url, MAX_URL_CHARACTERS), one_line(capture.date, 40), capture.length)

    return read_stored(where, place, is_it, Remote(FetchSettings()), _MAX_BYTES)


def _server(workspace: Workspace, unit_id: str) -> str:
    """Return the server that a batch was fetched from, as the versions made of it know; else Common Crawl's own."""
    for version in (workspace.root / "corpora").glob("*/*/units.parquet"):
        for unit in read_units(version.parent):
            if unit.unit_id == unit_id:
                return str(unit.options["server"])
    return str(CommonCrawlSource.model_fields["server"].default)


def _whole_text(capture: Capture, reason: str) -> str:
    """Return all text of a page; of one that could not be parsed, its source."""
    try:
        body = undo_transfer(capture.payload, capture.transfer_encoding, capture.content_encoding, _MAX_BYTES)
    except BodyTooLarge:
        return ""
    decoded = decode(body, capture.content_type)
    if decoded is None or reason in _NOT_PARSED:
        return body.decode(errors="replace") if decoded is None else decoded.text
    tree = parse(decoded.text)
    return decoded.text if tree is None else all_text(tree)
