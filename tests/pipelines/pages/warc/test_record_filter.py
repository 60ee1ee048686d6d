"""The kind of a page by its header and by its content."""

import tempfile
from pathlib import Path

import pytest

from pipelines.pages.warc import Capture, read_warc
from pipelines.pages.warc.record_filter import is_html, media_type, why_no_page


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"text without any tag", "text/html; charset=utf-8", True),
        (b"%PDF-1.4 \x00\x01", "text/html", False),
        (b"\x89PNG\r\n\x1a\n", "TEXT/HTML", False),
        (b"PK\x03\x04", "application/xhtml+xml", False),
        (b"\xef\xbb\xbf \n<!DOCTYPE HTML PUBLIC>", "", True),
        (b'<?xml version="1.0"?>\n<html xmlns="x">', "application/octet-stream", True),
        (b"<p>paragraph", "", True),
        (b'<?xml version="1.0"?><rss>', "", False),
        (b"plain text", "", False),
        (b"%PDF-1.4 \x00\x01", "", False),
    ],
)
def test_header_and_content(body: bytes, content_type: str, expected: bool) -> None:
    assert is_html(body, content_type) is expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("text/html; charset=utf-8", "text/html"),
        (" TEXT/HTML ;x", "text/html"),
        ("text/html charset=utf-8", ""),
        ("text/html, text/html; charset=utf-8", "text/html"),
        ("text/html,charset=utf-8", "text/html"),
        ('image/png; x="a,text/html"', "image/png"),
        ("text/plain, */*", "text/plain"),
        ("html", ""),
        ('"text/html"', ""),
        ("text/html:charset=utf-8", ""),
        ("", ""),
    ],
)
def test_media_type(header: str, expected: str) -> None:
    assert media_type(header) == expected


@pytest.mark.parametrize(
    ("content_type", "identified", "body", "is_page"),
    [
        ("html", "", "<!DOCTYPE html><p>x", True),
        ("text/html charset=utf-8", "", "<html><p>x", True),
        ("text/html charset=utf-8", "", "%PDF-1.4", False),
        ("application/xml", "", "<?xml version='1.0'?><!-- x --><?y z?>\n<html xmlns='x'><p>x", True),
        ("text/xml", "", "<!DOCTYPE html PUBLIC 'x'><html>", True),
        ("text/xml", "", "<rss><channel/></rss>", False),
        ("application/vnd.wap.xhtml+xml", "", "<?xml version='1.0'?><html xmlns='x'><p>x", True),
        ("application/rss+xml", "", "<rss><channel/></rss>", False),
        ("text/plain", "text/html", "<p>x", True),
        ("text/plain", "", "<p>x", False),
        ("application/pdf", "application/pdf", "%PDF-1.4", False),
    ],
)
def test_pages_by_all_that_is_known(content_type: str, identified: str, body: str, is_page: bool) -> None:
    [capture] = captures(content_type, identified, body)
    passed = why_no_page(capture) is None and is_html(capture.payload, capture.content_type, capture.identified_type)
    assert passed is is_page


@pytest.mark.parametrize(
    ("line", "status"),
    [
        *(("http/1.1 200 OK", 200), ("HTTP/1.1  200 OK", 200), ("HTTP/2\t404", 404), ("HTTP/1.1 200OK", 200)),
        *(("ICY 200 OK", 200), ("HTTP/1.1 OK", None), ("ICY 2000", None)),
    ],
)
@pytest.mark.parametrize("record_type", ["application/http", "Application/HTTP"])
def test_status_lines_that_browsers_read(line: str, status: int | None, record_type: str) -> None:
    [capture] = captures("text/html", "", "<p>x", line, record_type)
    assert (capture.status, why_no_page(capture)) == (status, {200: None, None: "not_http"}.get(status, "bad_status"))


def captures(
    content_type: str, identified: str, body: str, line: str = "HTTP/1.1 200 OK", record_type: str = "application/http"
) -> list[Capture]:
    content = f"{line}\r\nContent-Type: {content_type}\r\n\r\n{body}"
    more = f"WARC-Identified-Payload-Type: {identified}\r\n" if identified else ""
    header = (
        "WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-000000000000>\r\n"
        "WARC-Date: 2026-11-01T00:00:00Z\r\nWARC-Target-URI: https://a.example/\r\n"
        f"Content-Type: {record_type}; msgtype=response\r\n{more}Content-Length: {len(content)}\r\n\r\n"
    )
    with tempfile.NamedTemporaryFile(suffix=".warc") as file:
        Path(file.name).write_text(header + content + "\r\n\r\n", newline="")
        return [item for item in read_warc(Path(file.name), 10**6) if isinstance(item, Capture)]
