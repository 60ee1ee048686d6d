"""Bytes to text: which of the declarations is believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.decode import decode

FRENCH = "<html><body>" + "Été, forêt, garçon, naïve, cœur et où : voilà. " * 20
HUNGARIAN = "<html><body>" + "Árvíztűrő tükörfúrógép, őszi erdő. " * 20

ONE_ACCENT = "<p>At the cafeü. " + "No other accent on the whole page. " * 20  # too little for the detector


@pytest.mark.parametrize(
    ("text", "written_in", "content_type", "meta", "source", "encoding"),
    [
        (FRENCH, "utf-8", "text/html", "", "utf-8", "utf-8"),
        (FRENCH, "utf-8", "text/html; charset=iso-8859-1", "", "utf-8", "utf-8"),
        (FRENCH, "cp1252", 'text/html; charset="ISO-8859-1"', "", "http", "cp1252"),
        (FRENCH, "cp1252", "text/html; charset=utf-8", "<meta charset=windows-1252>", "meta", "cp1252"),
        (HUNGARIAN, "iso8859-2", "text/html", '<meta http-equiv=x content="text/html; charset=latin2">', "meta", None),
        (FRENCH, "cp1252", "text/html", "<meta charset='utf-8'>", "detector", None),
        (ONE_ACCENT, "cp1252", "text/html", "", "default", "cp1252"),
        (FRENCH, "utf-8-sig", "text/html; charset=koi8-r", "", "bom", "utf-8"),
        (FRENCH, "utf-16", "text/html", "", "bom", "utf-16-le"),
        (FRENCH, "utf-16-le", "text/html; charset=utf-16le", "", "http", "utf-16-le"),
    ],
)
def test_charset(text: str, written_in: str, content_type: str, meta: str, source: str, encoding: str | None) -> None:
    decoded = decode((meta + text).encode(written_in), content_type)
    assert decoded is not None
    assert (decoded.source, decoded.text) == (source, meta + text)
    assert encoding in (None, decoded.encoding)


def test_a_stray_byte_does_not_cost_the_declared_charset() -> None:
    page = (FRENCH * 5).encode() + b"\xff"
    decoded = decode(page, "text/html; charset=utf-8")
    assert decoded is not None
    assert (decoded.source, decoded.text.count("\ufffd")) == ("http", 1)


@pytest.mark.parametrize("charset", ["unicode_escape", "base64", "punycode", "rot13", "idna", "no-such", ""])
def test_only_charsets_of_the_web_are_taken_from_a_page(charset: str) -> None:
    decoded = decode(FRENCH.encode("cp1252"), f"text/html; charset={charset}")
    assert decoded is not None
    assert decoded.source == "detector"


def test_binary_data_is_undecodable() -> None:
    assert decode(bytes(range(256)) * 40, "text/html; charset=utf-8") is None
    assert decode(b"\x00\x01\x02" * 100, "text/html") is None


@given(st.binary(max_size=300), st.text(max_size=60))
def test_anything_decodes_or_does_not(payload: bytes, content_type: str) -> None:
    decoded = decode(payload, content_type)
    assert decoded is None or isinstance(decoded.text, str)


@given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs"]), min_size=1))
def test_valid_utf8_stays_as_it_is(text: str) -> None:
    decoded = decode(text.encode(), "text/html; charset=iso-8859-1")
    assert decoded is not None
    assert decoded.text == text.removeprefix("\ufeff")
