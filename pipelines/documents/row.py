"""One row of the documents table: from a capture or a text to what is known about it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipelines.dedup.compared_text import hashes_of
from pipelines.dedup.signature import signatures
from pipelines.documents.given_files import block_list, opted_out_hosts, robots_rules
from pipelines.pages.characters import clean, one_line
from pipelines.pages.charset.decode import Decoded, decode
from pipelines.pages.dom_guard import is_too_costly, is_too_deep
from pipelines.pages.extract import MAX_TITLE_CHARACTERS, all_text, main_content, title
from pipelines.pages.opt_outs import header_opt_out, page_opt_out
from pipelines.pages.parse import Markup, parse
from pipelines.pages.second_extractor import longer_text
from pipelines.pages.short_text_guard import mark_short_texts
from pipelines.pages.warc import Capture
from pipelines.pages.warc.http_body import BodyTooLarge, undo_transfer
from pipelines.pages.warc.record_filter import is_html, why_no_page
from pipelines.settings import DocumentSettings
from pipelines.sources.text_files import TextRecord
from pipelines.sources.urls import host_of
from pipelines.text.identify import Identifier
from pipelines.text.language_share import language_share
from pipelines.text.other_language import other_language
from pipelines.text.quality_model import load_quality_model
from pipelines.text.scores import SCORES, scores_of_texts

MAX_URL_CHARACTERS = 4096
# Main content is extracted where a wanted language is among the three most likely ones of the page's whole text, alt
# texts included, with so much probability: docs/filters.md has what it costs.
MIN_LIKELIHOOD = 0.02

# In the order a page meets them. A document leaves at one stage with one reason; `kept` reached main content.
STAGE_OF_REASON: Mapping[str, str] = {
    "damaged": "read",
    "poison_record": "read",
    "unreadable": "read",
    "no_text": "read",
    "truncated": "read",
    "oversize": "read",
    "bad_http": "gate",
    "not_response": "gate",
    "not_http": "gate",
    "redirect": "gate",
    "bad_status": "gate",
    "not_html": "gate",
    "empty": "gate",
    "no_host": "gate",
    "denied_host": "opt_out",
    "robots_txt": "opt_out",
    "x_robots_tag": "opt_out",
    "content_usage_robots_txt": "opt_out",
    "content_signal_robots_txt": "opt_out",
    "tdm_header": "opt_out",
    "content_usage_header": "opt_out",
    "content_signal_header": "opt_out",
    "blocked_host": "url",
    "blocked_url": "url",
    "undecodable": "decode",
    "dom_too_large": "parse",
    "meta_robots": "opt_out",
    "tdm_meta": "opt_out",
    "other_language": "language",
    "dom_too_deep": "extract",
    "extraction_failed": "extract",
    "no_main_content": "extract",
    "kept": "extract",
}

SCHEMA = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("row", pa.uint32(), nullable=False),
        pa.field("unit_id", pa.string(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("host", pa.string(), nullable=False),
        pa.field("date", pa.string()),
        pa.field("title", pa.string()),
        pa.field("language", pa.string()),
        pa.field("language_score", pa.float32()),
        pa.field("language_share", pa.float32()),  # pipelines/text/language_share.py
        pa.field("reason", pa.string(), nullable=False),
        pa.field("text", pa.large_string()),
        pa.field("characters", pa.int64(), nullable=False),
        pa.field("payload_bytes", pa.int64(), nullable=False),
        pa.field("encoding", pa.string()),
        pa.field("encoding_source", pa.string()),
        *(pa.field(name, kind) for name, kind in SCORES.items()),
        pa.field("quality", pa.float32()),  # NULL without documents.quality_model
        pa.field("text_hash", pa.binary()),
        pa.field("signature", pa.binary()),  # num_perm little-endian uint32
        # As columns of Common Crawl's index; NULL where a record cannot be read by itself, and in texts.
        pa.field("content_languages", pa.string()),
        pa.field("content_digest", pa.string()),
        pa.field("warc_filename", pa.string()),
        pa.field("warc_record_offset", pa.int64()),
        pa.field("warc_record_length", pa.int64()),
    ]
)


def capture_document(capture: Capture) -> dict[str, Any]:
    """Return the row (without row and unit_id) of a capture as far as the record filter; its reason is None
    if it may be a page.
    """
    return {
        "doc_id": _doc_id(capture),
        "url": one_line(capture.url, MAX_URL_CHARACTERS),
        "host": host_of(capture.url),
        "date": one_line(capture.date, 40) or None,
        "payload_bytes": capture.length,
        "characters": 0,
        "reason": why_no_page(capture),
        "content_languages": capture.content_languages or None,
        "content_digest": one_line(capture.payload_digest.removeprefix("sha1:"), 200) or None,
    }


@dataclass(frozen=True, slots=True)
class HtmlPage:
    """A page whose HTML is known and not yet parsed; `document` is its row so far."""

    document: dict[str, Any]
    body: bytes
    decoded: Decoded


def open_page(document: dict[str, Any], capture: Capture, settings: DocumentSettings) -> dict[str, Any] | HtmlPage:
    """Return the page of a capture that passed the record filter, or its row, where it left or is text already.

    Text of an opted-out page is not looked at further.
    """
    if reason := _owners_reason(capture.url, document["host"], settings) or header_opt_out(capture, settings.opt_outs):
        return document | {"reason": reason}
    if reason := _listed(capture.url, document["host"], settings):
        return document | {"reason": reason}
    if capture.record_type == "conversion":  # text already, without the headers and tags that could opt out
        text = clean(capture.payload.decode(errors="replace"))
        return kept_document(document, text) if text else document | {"reason": "no_text"}
    try:
        body = undo_transfer(capture.payload, capture.transfer_encoding, capture.content_encoding, settings.max_bytes)
    except BodyTooLarge:
        return document | {"reason": "oversize"}
    if not is_html(body, capture.content_type, capture.identified_type):
        return document | {"reason": "not_html"}
    decoded = decode(body, capture.content_type)
    if decoded is None:
        return document | {"reason": "undecodable"}
    return HtmlPage(document | {"encoding": decoded.encoding, "encoding_source": decoded.source}, body, decoded)


def leave_early(page: HtmlPage, settings: DocumentSettings, identify: Identifier) -> dict[str, Any] | HtmlPage:
    """Return the row of a page that is surely in no wanted language, else the page."""
    if settings.languages is not None and (other := other_language(page.decoded.text, settings.languages, identify)):
        return page.document | {"language": other[0], "language_score": other[1], "reason": "other_language"}
    return page


def extract_page(page: HtmlPage, settings: DocumentSettings, identify: Identifier) -> dict[str, Any]:
    """Return the row of a page: its main content, or why it left."""
    document, decoded = page.document, page.decoded
    markup = Markup.of(page.body, decoded)
    if is_too_costly(markup):
        return document | {"reason": "dom_too_large"}
    # Only main content loses short texts: where most pages leave before, few are looked at for them, and parsed again.
    html = mark_short_texts(markup, decoded.text) if settings.languages is None else decoded.text
    tree = parse(html)
    if tree is None:
        return document | {"reason": "dom_too_large"}
    if reason := page_opt_out(markup, tree, settings.opt_outs):
        return document | {"reason": reason}
    document = document | {"title": title(tree)}
    if settings.languages is not None:
        text = all_text(tree)
        likely = identify.likely(text)
        if likely and not any(code in settings.languages and score >= MIN_LIKELIHOOD for code, score in likely):
            document |= {"language": likely[0][0], "language_score": likely[0][1], "characters": len(text)}
            return document | {"reason": "other_language"}
    if is_too_deep(markup, tree):
        return document | {"reason": "dom_too_deep"}
    if settings.languages is not None and (marked := mark_short_texts(markup, html)) is not html:
        tree = parse(marked) or tree
    text = longer_text(main_content(tree, settings.extraction), decoded.text, settings.extraction)
    if not text:
        return document | {"reason": "no_main_content"}
    return kept_document(document, text)


def page_document(
    document: dict[str, Any], capture: Capture, settings: DocumentSettings, identify: Identifier
) -> dict[str, Any]:
    """Return the whole row of a capture that passed the record filter, as a unit makes it of many at a time."""
    page = open_page(document, capture, settings)
    for look in (leave_early, extract_page):
        if isinstance(page, HtmlPage):
            page = look(page, settings, identify)
    assert isinstance(page, dict)
    measure([page], settings, identify)
    return page


def _owners_reason(url: str, host: str, settings: DocumentSettings) -> str | None:
    """Return the reason why the owner of a page keeps it out, as far as its address tells; no_host where it tells no
    owner, so that no list, robots.txt or removal could hold for it.
    """
    if not host:
        return "no_host"
    if (denied := opted_out_hosts(settings)).has_host(host) or denied.has_url(url):
        return "denied_host"
    return robots_rules(settings).opts_out(url)


def _listed(url: str, host: str, settings: DocumentSettings) -> str | None:
    """Return the reason why the user's block-lists keep a page out."""
    blocked = block_list(settings)
    if blocked.has_host(host):
        return "blocked_host"
    return "blocked_url" if blocked.has_url(url) else None


def text_document(record: TextRecord, text: str, part: int, source: str, settings: DocumentSettings) -> dict[str, Any]:
    """Return the row of one part of a text.

    Where the row gives no address of a page, its host is the source, its url the record: the parts of a novel share it.
    """
    host = host_of(record.url)
    document = {
        "doc_id": _digest(source, record.record_id, str(part), *([text] if record.has_own_id else [])),
        "url": one_line(record.url if host else record.record_id, MAX_URL_CHARACTERS),
        "host": host or source,
        "title": one_line(record.title, MAX_TITLE_CHARACTERS) or None,
        "payload_bytes": len(text.encode(errors="replace")),
        "characters": 0,
        "reason": record.fault,
    }
    if document["reason"]:
        return document
    if host and (reason := _owners_reason(record.url, host, settings) or _listed(record.url, host, settings)):
        return document | {"reason": reason}
    text = clean(text)
    return kept_document(document, text) if text else document | {"reason": "no_text"}


def repeated_id(doc_id: str, unit_id: str, number: int, part: int) -> str:
    """Return the id of a part of a text whose own was given already, by where it stands."""
    return _digest(doc_id, unit_id, str(number), str(part))


def kept_document(document: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Return the row of a text that stays, whatever figures `measure` adds: the filter over them comes later."""
    return {**document, "reason": "kept", "text": text, "characters": len(text)}


def measure(documents: Sequence[dict[str, Any]], settings: DocumentSettings, identify: Identifier) -> None:
    """Add to the rows with a text what is measured on it: language, hash, scores, signature.

    Of many rows at a time: what one measure takes of memory, as the identifier's table, is near for all of them. After
    a page was parsed it is not, and the same text takes some times as long.
    """
    # Those that are taken over from earlier documents (added_languages.py) have all that.
    kept = [document for document in documents if document["reason"] == "kept" and "signature" not in document]
    quality = load_quality_model(settings)
    for document in kept:
        text = document["text"]
        document["language"], document["language_score"] = language, score = identify(text)
        document["language_share"] = language_share(text, language, score, identify)
        document["quality"] = quality(text) if quality else None
    texts, languages = ([document[column] for document in kept] for column in ("text", "language"))
    for document, found in zip(kept, scores_of_texts(texts, languages), strict=True):
        document |= found
    for document in kept:
        document["text_hash"], document["shingle_hashes"] = hashes_of(document, settings.shingle)
    sign(kept, settings)


def sign(documents: Sequence[dict[str, Any]], settings: DocumentSettings) -> None:
    """Put the signature in the place of the shingle hashes, in those rows that have them."""
    hashed = [document for document in documents if "shingle_hashes" in document]
    of_texts = [document.pop("shingle_hashes") for document in hashed]
    for document, signature in zip(hashed, signatures(of_texts, settings.num_perm, settings.seed), strict=True):
        document["signature"] = signature.astype("<u4").tobytes()


def _doc_id(capture: Capture) -> str:
    """Hash to the same whether the record came out of a whole file or by a range of it.

    Not by the record's id alone: some writers count, give all records one id, or begin anew in each file.
    """
    payload_digest = capture.payload_digest or hashlib.sha1(capture.payload, usedforsecurity=False).hexdigest()
    return _digest(capture.record_id, capture.url, capture.date, payload_digest)


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(errors="replace"), digest_size=16).hexdigest()
