"""Nothing out of a crawl is trusted: bytes of any kind as record, as headers and as HTML, within bounds.

Each example goes the whole way of a page.
"""

from itertools import islice
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.documents.row import (
    STAGE_OF_REASON,
    capture_document,
    page_document,
)
from pipelines.pages.warc import Capture, read_warc
from pipelines.settings import DocumentSettings
from pipelines.sources.retries import ReadFailure
from pipelines.text.identify import Identifier, load_identifier
from storage.errors import InputError
from tests.pipelines.warc_files import Page, warc_bytes

FUZZ = settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TAGS = ["div", "p", "b", "font", "a", "table", "tr", "td", "select", "option", "script", "style", "svg", "math", "h1"]
TAGS += [
    "template",
    "frameset",
    "body",
    "html",
    "head",
    "title",
    "meta",
    "plaintext",
    "textarea",
    "noscript",
    "ul",
    "li",
]
PIECES = st.one_of(
    st.sampled_from([f"<{tag}>" for tag in TAGS] + [f"</{tag}>" for tag in TAGS]),
    st.sampled_from(
        ["<!--", "-->", "<![CDATA[", "]]>", "<!doctype x", "&", "&#x0;", "&#xD800;", "\0", "<", ">", '"', "="]
    ),
    st.sampled_from(["<meta name=robots content=noai>", "<meta charset=utf-16>", "<p class=cookie>", "<a href='x"]),
    st.text(max_size=20),
)
HTML = st.lists(st.tuples(PIECES, st.sampled_from([1, 1, 1, 3, 400])), max_size=30).map(
    lambda pieces: "".join(piece * times for piece, times in pieces)
)
HEADER_VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["Content-Type", "Content-Length", "Content-Encoding", "Transfer-Encoding", "X-Robots-Tag", "TDM-Reservation"]
    ),
    st.one_of(
        HEADER_VALUES,
        st.sampled_from(["text/html", "text/html; charset=utf-7", "gzip", "br", "deflate", "chunked", "-1", "9" * 30]),
    ),
)


@pytest.fixture(scope="module")
def identify(document_settings: DocumentSettings) -> Identifier:
    return load_identifier(document_settings)


def documents_of(content: bytes, folder: Path, settings: DocumentSettings, identify: Identifier) -> None:
    """Take every record of a file the whole way, and look at what must hold for any of them."""
    path = folder / "fuzzed.warc"
    path.write_bytes(content)
    try:
        records = list(islice(read_warc(path, settings.max_bytes), len(content) + 2))
    except InputError:
        return
    assert len(records) < len(content) + 2, "records without end"
    for capture in records:
        if capture is None or isinstance(capture, ReadFailure):
            continue
        assert isinstance(capture, Capture)
        document = capture_document(capture)
        if document["reason"] is None:
            document = page_document(document, capture, settings, identify)
        assert document["reason"] in STAGE_OF_REASON
        for field in ("url", "host", "title", "text"):
            value = document.get(field) or ""
            value.encode()
            assert not any(ord(character) < 32 and character not in "\t\n" for character in value)


@given(html=HTML, languages=st.sampled_from([None, ("fra",)]))
@FUZZ
def test_html(
    html: str,
    languages: tuple[str, ...] | None,
    tmp_path: Path,
    document_settings: DocumentSettings,
    identify: Identifier,
) -> None:
    settings = document_settings.model_copy(update={"languages": languages})
    content, _ = warc_bytes([Page(html.encode(errors="surrogatepass"), headers={"Content-Type": "text/html"})])
    documents_of(content, tmp_path, settings, identify)


@given(
    headers=HEADERS, status=st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=10), body=st.binary()
)
@FUZZ
def test_http_headers_and_bodies(
    headers: dict[str, str],
    status: str,
    body: bytes,
    tmp_path: Path,
    document_settings: DocumentSettings,
    identify: Identifier,
) -> None:
    for line in (status, "200 OK"):
        content, _ = warc_bytes([Page(b"<html>" + body, status=line, headers=headers), Page(body, headers=headers)])
        documents_of(content, tmp_path, document_settings, identify)


@given(cut=st.integers(0, 600), noise=st.binary(max_size=60), at=st.integers(0, 600), lf=st.booleans())
@FUZZ
def test_records(
    cut: int,
    noise: bytes,
    at: int,
    lf: bool,
    tmp_path: Path,
    document_settings: DocumentSettings,
    identify: Identifier,
) -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html><p>Some text.</p></html>"
    header = (
        b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: https://example.org/\r\n"
        b"Content-Type: application/http; msgtype=response\r\nContent-Length: %d\r\n\r\n"
    )
    content = ((header % len(page)) + page + b"\r\n\r\n") * 3
    if lf:
        content = content.replace(b"\r\n", b"\n")
    documents_of(content[:at] + noise + content[at : at + cut], tmp_path, document_settings, identify)


@given(content=st.binary(max_size=300))
@FUZZ
def test_files_of_any_bytes(
    content: bytes, tmp_path: Path, document_settings: DocumentSettings, identify: Identifier
) -> None:
    for start in (b"", b"WARC/1.0\r\n", b"\x1f\x8b\x08", b"(\xb5/\xfd", b"\x04\x22\x4d\x18"):
        documents_of(start + content, tmp_path, document_settings, identify)
