"""WARC files made at test time."""

import io
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fastwarc.stream_io import GzipWriter
from fastwarc.warc import WarcRecord, WarcRecordType

ENGLISH = (
    "the garden behind our house grows slowly every spring and people walk through it when they come to visit from "
    "town because water runs along the old stone wall where children often play after school until evening brings "
    "them home for dinner with bread soup apples and some warm milk before another long day of work begins again"
)
FRENCH = (
    "le jardin derrière notre maison pousse lentement chaque printemps et les gens le traversent quand ils viennent "
    "nous voir de la ville parce que l'eau coule le long du vieux mur de pierre où les enfants jouent souvent après "
    "l'école jusqu'à ce que le soir les ramène chez eux pour dîner avec du pain de la soupe et quelques pommes"
)


def prose(words: str, seed: int, count: int = 150) -> str:
    """Sentences of random words of a language: long enough for the filter, and unlike those of another seed."""
    chosen = random.Random(seed).choices(words.split(), k=count)
    sentences = [" ".join(chosen[start : start + 12]).capitalize() + "." for start in range(0, count, 12)]
    return "\n".join(sentences)


def html(text: str, head: str = "", title: str = "A page") -> str:
    paragraphs = "".join(f"<p>{line}</p>" for line in text.split("\n"))
    return (
        f"<!DOCTYPE html><html><head><title>{title}</title>{head}</head><body><main>{paragraphs}</main></body></html>"
    )


@dataclass
class Page:
    body: str | bytes
    url: str = "https://www.example.org/page"
    status: str = "200 OK"
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "text/html; charset=utf-8"})
    record_type: str = "response"


def warc_bytes(pages: Sequence[Page], first_id: int = 0) -> tuple[bytes, list[int]]:
    """A gzip WARC with one member a record, and the offset of each. Record ids count up from `first_id`."""
    buffer = io.BytesIO()
    offsets = []
    writer = GzipWriter(buffer)
    before = ""
    for number, page in enumerate(pages, first_id):
        offsets.append(buffer.tell())
        body = page.body.encode() if isinstance(page.body, str) else page.body
        headers = "".join(f"{name}: {value}\r\n" for name, value in page.headers.items())
        record = WarcRecord()
        record.init_headers(
            getattr(WarcRecordType, page.record_type), f"<urn:uuid:00000000-0000-4000-8000-{number:012d}>".encode()
        )
        record.headers["WARC-Target-URI"] = page.url
        record.headers["WARC-Date"] = "2026-11-01T00:00:00Z"
        if page.record_type == "conversion":
            record.headers["Content-Type"] = "text/plain"
            record.set_bytes_content(body)
        elif page.record_type == "metadata":  # on the record before it
            record.headers["Content-Type"] = "application/warc-fields"
            record.headers["WARC-Concurrent-To"] = before
            record.set_bytes_content(body)
        else:
            record.headers["Content-Type"] = "application/http; msgtype=response"
            record.set_bytes_content(f"HTTP/1.1 {page.status}\r\n{headers}\r\n".encode() + body)
        before = record.headers["WARC-Record-ID"]
        record.write(writer)
        writer.finish()
    return buffer.getvalue(), offsets
