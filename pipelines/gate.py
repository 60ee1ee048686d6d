"""The record gate: which captures may hold a page. Everything else leaves here, with its reason."""

from resiliparse.parse.encoding import detect_mime

from pipelines.read_warc import Capture

HTML_TYPES = ("text/html", "application/xhtml+xml")


def gate(capture: Capture) -> str | None:
    """Return the reason why a capture cannot be a page, or None if it may be one, or a page's text already.

    Reasons: not_response, bad_http (headers that cannot be parsed, or over 1 MB), not_http, redirect, bad_status,
    not_html, oversize, truncated (the file or the record ends early), empty.
    """
    mime = capture.content_type.partition(";")[0].strip().lower()
    if capture.record_type == "conversion" and mime == "text/plain":
        return capture.fault or (None if capture.payload else "empty")
    if capture.record_type != "response":
        return "not_response"
    if capture.fault == "bad_http":
        return "bad_http"
    if capture.status is None:
        return capture.fault or "not_http"
    if 300 <= capture.status < 400:
        return "redirect"
    if capture.status != 200:
        return "bad_status"
    if mime and mime not in HTML_TYPES:
        return "not_html"
    if capture.fault:
        return capture.fault
    if not capture.payload:
        return "empty"
    if not mime and detect_mime(capture.payload[:4096]) not in HTML_TYPES:
        return "not_html"
    return None
