"""Writes the sample crawl: WARC files with one gzip member a record, and truth.jsonl."""

import json
import os
import random
import uuid
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from fastwarc.stream_io import GzipWriter
from fastwarc.warc import WarcRecord, WarcRecordType

from pipelines.sample_crawl.article import O1, O2, OTHERS, N
from pipelines.sample_crawl.responses import Response, copy, not_found, not_html, page, redirect
from storage.errors import InputError

# How many responses of which kind a sample crawl has, and their order.


# Counts in a crawl of PER pages; other sizes keep the shares. The pages that these leave are divided by POOLS.
PER = 1500
NEAR_COPIES = {0.5: 24, 0.7: 12, 0.8: 12, 0.9: 24, 0.95: 24}  # by Jaccard similarity
EXACT_COPIES = 24
DEFECTS = {"short": 18, "wrong_language": 12, "undecodable": 6, "opt_out": 4, "truncated": 3}
POOLS = ((O1, 0.336), (O2, 0.182), (N, 0.336), (OTHERS, 0.146))
NO_PAGES = {redirect: 20, not_found: 20, not_html: 28}  # in addition to the pages, one of each at least


def plan(pages: int, seed: int) -> list[Response]:
    """Return the responses in the order in which they are written: an original always before its copy."""
    source = random.Random(f"{seed}/plan")
    defects = {kind: round(count * pages / PER) for kind, count in DEFECTS.items()}
    likeness = [jaccard for jaccard, count in NEAR_COPIES.items() for _ in range(round(count * pages / PER))]
    likeness += [1.0] * round(EXACT_COPIES * pages / PER)
    left = pages - sum(defects.values()) - len(likeness)
    shares = [round(left * share) for _, share in POOLS[:-1]]
    responses = [
        page(topic, number, seed, "page")
        for (topics, _), share in zip(POOLS, [*shares, left - sum(shares)], strict=True)
        for topic, count in zip(topics, _parts(share, len(topics)), strict=True)
        for number in range(count)
    ]
    topics = [*O1, *O2, *N]
    names = {topic.name for topic in topics}
    to_copy = [response for response in responses if response.topic in names and not _has_list(response)]
    for kind, count in defects.items():
        among = N if kind == "undecodable" else topics  # English is mostly ASCII: the same in all charsets
        responses += [page(among[number % len(among)], number, seed, kind) for number in range(count)]
    source.shuffle(responses)
    originals = source.sample(to_copy, len(likeness))
    for number, (jaccard, original) in enumerate(zip(likeness, originals, strict=True)):
        after = responses.index(original) + 1
        responses.insert(source.randint(after, len(responses)), copy(original, jaccard, number, source))
    for make, count in NO_PAGES.items():
        for number in range(max(1, round(count * pages / PER))):
            response = make(topics[number % len(topics)], number, source)
            responses.insert(source.randint(0, len(responses)), response)
    return responses


def _has_list(response: Response) -> bool:
    """Tell whether the article has a list, which main-content extraction takes for navigation on some sites: its
    copies' extracted texts would not be as alike as they are meant to be."""
    return response.article is not None and any(block.kind == "ul" for block in response.article.blocks)


def _parts(total: int, parts: int) -> list[int]:
    return [total // parts + (part < total % parts) for part in range(parts)]


FILES = 4
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


def write_sample_crawl(folder: Path, pages: int = 1500, seed: int = 0) -> None:
    """Write sample-00000.warc.gz … and truth.jsonl into the folder; equal arguments give equal bytes.

    Args:
        folder: made if it is not there; files in it are replaced by whole ones, truth.jsonl last.
        pages: HTML pages, copies included; redirects, errors and files that are no HTML come in addition.
        seed: of everything that is chosen.

    Raises:
        InputError: fewer than 20 pages, which cannot give every pool two hosts.
    """
    if pages < 20:
        raise InputError(f"a sample crawl needs at least 20 pages to give every pool some, but pages is {pages}")
    folder.mkdir(parents=True, exist_ok=True)
    responses = plan(pages, seed)
    record_ids = {response: _urn(f"{seed}/{pages}/{at}") for at, response in enumerate(responses)}
    truth = []
    for file in range(FILES):
        first, last = len(responses) * file // FILES, len(responses) * (file + 1) // FILES
        name = f"sample-{file:05}.warc.gz"
        with (folder / f"{name}.partial").open("wb") as stream:
            writer = _Writer(stream, BEGIN + timedelta(days=file), random.Random(f"{seed}/{name}"))
            writer.info(name)
            for response in responses[first:last]:
                writer.response(response, record_ids[response])
                truth.append({"file": name} | _truth(response, record_ids))
        os.replace(folder / f"{name}.partial", folder / name)
    partial = folder / "truth.jsonl.partial"
    partial.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in truth), encoding="utf-8")
    os.replace(partial, folder / "truth.jsonl")


def _urn(name: str) -> str:
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}"


class _Writer:
    def __init__(self, stream: BinaryIO, begin: datetime, source: random.Random) -> None:
        self.gzip, self.now, self.source = GzipWriter(stream), begin, source

    def info(self, name: str) -> None:
        fields = f"format: WARC File Format 1.1\r\ndescription: generated text\r\nfilename: {name}\r\n"
        self._record(WarcRecordType.warcinfo, _urn(name), fields.encode(), {"Content-Type": "application/warc-fields"})

    def response(self, response: Response, urn: str) -> None:
        to = {"WARC-Target-URI": response.url, "WARC-IP-Address": "192.0.2.1"}
        accompanied = self.source.random() < 0.1
        if accompanied:
            request = f"GET {response.path} HTTP/1.1\r\nHost: {response.host}\r\nUser-Agent: sample\r\n\r\n".encode()
            headers = to | {"Content-Type": "application/http; msgtype=request", "WARC-Concurrent-To": f"<{urn}>"}
            self._record(WarcRecordType.request, _urn(urn + "/request"), request, headers)
        headers = to | {"Content-Type": "application/http; msgtype=response"}
        body, status = response.body, HTTPStatus(response.status)
        content_type = response.content_type
        if content_type == "text/html" and response.charset.header:
            content_type += f"; charset={response.charset.header}"
        http = [("Content-Type", content_type), ("Content-Length", str(len(body))), *response.headers]
        if response.kind == "truncated":  # the server's length stands, the crawler kept less
            body = body[: len(body) * 2 // 5]
            headers["WARC-Truncated"] = "length"
        lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in http), "", ""]
        self._record(WarcRecordType.response, urn, "\r\n".join(lines).encode() + body, headers)
        if accompanied:
            headers = to | {"Content-Type": "application/warc-fields", "WARC-Concurrent-To": f"<{urn}>"}
            self._record(WarcRecordType.metadata, _urn(urn + "/metadata"), b"fetchTimeMs: 120\r\n", headers)

    def _record(self, record_type: WarcRecordType, urn: str, block: bytes, headers: dict[str, str]) -> None:
        record = WarcRecord()
        record.init_headers(record_type, urn.removeprefix("urn:").encode())
        record.headers["WARC-Date"] = self.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        self.now += timedelta(seconds=self.source.randint(1, 20))
        for name, value in headers.items():
            record.headers[name] = value
        record.set_bytes_content(block)
        record.write(self.gzip, checksum_data=True)
        self.gzip.finish()  # closes the gzip member, so that every record can be read on its own


def _truth(response: Response, record_ids: dict[Response, str]) -> dict[str, object]:
    page = response.article
    return {
        "record_id": f"<{record_ids[response]}>",
        "url": response.url,
        "host": response.host,
        "kind": response.kind,
        "language": response.language,
        "topic": response.topic,
        "copy_of": f"<{record_ids[response.copy_of]}>" if response.copy_of else None,
        "jaccard": response.jaccard,
        "status": response.status,
        "content_type": response.content_type,
        "charset": response.charset.written,
        "charset_in_header": response.charset.header,
        "charset_in_meta": response.charset.meta,
        "decodable": response.charset.decodable,
        "opt_out": response.opt_out,
        "title": page.title if page else None,
        "text": "\n\n".join(page.paragraphs) if page else None,
    }
