"""The kind of a page by its header and by its content."""

import pytest

from pipelines.gate import is_html


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
