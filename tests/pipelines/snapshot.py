"""A small snapshot in Common Crawl's exact layout: lists, segments, WARC and WET files, columnar index."""

import gzip
import hashlib
import io
import json
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.pipelines.warc_files import ENGLISH, FRENCH, Page, html, prose, warc_bytes

CRAWL = "CC-MAIN-2026-43"
SEGMENTS = ("1760000000000.10", "1760000000000.11")
FILES_A_SEGMENT, PAGES_A_FILE = 8, 6
INDEX_FILES, INDEX_ROWS_A_FILE, INDEX_ROW_GROUP = 12, 4000, 1000

# https://github.com/commoncrawl/cc-index-table, schema/cc-index-schema-flat.json
INDEX_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("url_surtkey", "url", "url_host_name", "url_host_tld")),
        *((f"url_host_{place}_last_part", pa.string()) for place in ("2nd", "3rd", "4th", "5th")),
        *((f"url_host_{name}", pa.string()) for name in ("registry_suffix", "registered_domain", "private_suffix")),
        *((f"url_host_{name}", pa.string()) for name in ("private_domain", "name_reversed")),
        ("url_protocol", pa.string()),
        ("url_port", pa.int32()),
        ("url_path", pa.string()),
        ("url_query", pa.string()),
        ("fetch_time", pa.timestamp("ms")),
        ("fetch_status", pa.int16()),
        *((f"content_{name}", pa.string()) for name in ("digest", "mime_type", "mime_detected", "charset")),
        ("content_languages", pa.string()),
        ("content_truncated", pa.string()),
        ("warc_filename", pa.string()),
        ("warc_record_offset", pa.int32()),
        ("warc_record_length", pa.int32()),
        ("warc_segment", pa.string()),
    ]
)


@dataclass
class Snapshot:
    """All files by path, and the rows of the index as they stand in it."""

    files: dict[str, bytes]
    index: list[dict[str, Any]]
    warcs: list[str]
    wets: list[str]


@cache
def make_snapshot(crawl: str = CRAWL, first_page: int = 0) -> Snapshot:
    """Make it once: who changes files gives the server others."""
    files: dict[str, bytes] = {}
    rows: list[dict[str, Any]] = []
    warcs, wets, number = [], [], first_page
    for segment in SEGMENTS:
        for _ in range(FILES_A_SEGMENT):
            name = f"CC-MAIN-20261012000000-20261012030000-{len(warcs):05d}"
            folder = f"crawl-data/{crawl}/segments/{segment}"
            warc = f"{folder}/warc/{name}.warc.gz"
            pages = [_page(number + place) for place in range(PAGES_A_FILE)]
            records = [record for page in pages for record in (Page("", page.url, record_type="request"), page)]
            files[warc], offsets = warc_bytes(records, first_id=_first_id(crawl) + 2 * number)
            ends = [*offsets[1:], len(files[warc])]
            for place, page in enumerate(pages):
                offset = offsets[2 * place + 1]
                found = {"warc_filename": warc, "warc_record_offset": offset, "warc_segment": segment}
                rows.append(_row(page.url, _language(number + place)) | found)
                rows[-1]["warc_record_length"] = ends[2 * place + 1] - offset
            wet = f"{folder}/wet/{name}.warc.wet.gz"
            texts = [Page(_text(number + place), pages[place].url, record_type="conversion") for place in range(4)]
            files[wet] = warc_bytes(texts, first_id=_first_id(crawl) + 10_000 + number)[0]
            warcs.append(warc)
            wets.append(wet)
            number += PAGES_A_FILE
    files[f"crawl-data/{crawl}/warc.paths.gz"] = _listing(warcs)
    files[f"crawl-data/{crawl}/wet.paths.gz"] = _listing(wets)
    index = sorted(rows + _other_rows(crawl), key=lambda row: row["url_surtkey"])
    _add_index(files, index, crawl)
    crawls = [{"id": name, "name": name, "cdx-api": ""} for name in (crawl, "CC-MAIN-2026-39", "CC-NEWS")]
    files["collinfo.json"] = json.dumps(crawls).encode()
    return Snapshot(files, index, warcs, wets)


def _first_id(crawl: str) -> int:
    return 0 if crawl == CRAWL else 1_000_000  # a page is fetched anew for each snapshot


def _language(number: int) -> str:
    return "fra" if number % 2 else "eng"


def _text(number: int) -> str:
    return prose(FRENCH if number % 2 else ENGLISH, number)


def _page(number: int) -> Page:
    domain = "fr" if number % 2 and number % 3 else "com"
    return Page(html(_text(number)), f"https://www.site-{number // 2}.{domain}/page/{number}")


def _row(url: str, languages: str) -> dict[str, Any]:
    host, _, path = url.removeprefix("https://").partition("/")
    labels = host.split(".")
    return {
        "url_surtkey": ",".join(reversed(labels[1:])) + f")/{path}",
        "url": url,
        "url_host_name": host,
        "url_host_tld": labels[-1],
        "url_protocol": "https",
        "url_path": f"/{path}",
        "fetch_time": datetime(2026, 10, 12, 1, tzinfo=UTC),
        "fetch_status": 200,
        "content_digest": hashlib.sha1(url.encode()).hexdigest(),
        "content_mime_type": "text/html",
        "content_mime_detected": "text/html",
        "content_charset": "UTF-8",
        "content_languages": languages,
    }


def _other_rows(crawl: str) -> list[dict[str, Any]]:
    """Rows of pages that no test fetches, so many that the index is worth pruning."""
    draw = random.Random(7)
    rows = []
    for number in range(INDEX_FILES * INDEX_ROWS_A_FILE):
        domain = draw.choice(("com", "com", "com", "de", "net", "org", "ru"))
        url = f"https://www.{draw.randbytes(6).hex()}.{domain}/{draw.randbytes(12).hex()}"
        row = _row(url, draw.choice(("eng", "deu", "rus,eng", "eng,fra", "spa")))
        row["warc_filename"] = f"crawl-data/{crawl}/segments/{SEGMENTS[0]}/warc/other-{number % 50:05d}.warc.gz"
        row["warc_record_offset"], row["warc_record_length"] = number * 30_000, draw.randrange(1000, 30_000)
        rows.append(row)
    return rows


def _add_index(files: dict[str, bytes], rows: Sequence[dict[str, Any]], crawl: str) -> None:
    listed = []
    size = -(-len(rows) // INDEX_FILES)
    for subset in ("crawldiagnostics", "robotstxt", "warc"):
        for number in range(INDEX_FILES if subset == "warc" else 1):
            name = f"part-{number:05d}-{uuid.UUID(int=number)}.c000.gz.parquet"
            path = f"cc-index/table/cc-main/warc/crawl={crawl}/subset={subset}/{name}"
            table = pa.Table.from_pylist(list(rows[number * size : (number + 1) * size]), schema=INDEX_SCHEMA)
            buffer = io.BytesIO()
            pq.write_table(table, buffer, compression="gzip", row_group_size=INDEX_ROW_GROUP)
            files[path] = buffer.getvalue()
            listed.append(path)
    files[f"crawl-data/{crawl}/cc-index-table.paths.gz"] = _listing(listed)


def _listing(paths: Sequence[str]) -> bytes:
    return gzip.compress("".join(f"{path}\n" for path in paths).encode())
