"""Lists of hosts and URLs."""

import gzip
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.pages.url_list import UrlList, read_url_list
from pipelines.sources.urls import ascii_host, ascii_host_pattern, host_named, host_of
from storage.errors import InputError

LABELS = st.text(st.sampled_from("abc-"), min_size=1, max_size=4)
HOSTS = st.lists(LABELS, min_size=1, max_size=4).map(".".join)


@given(st.lists(HOSTS, max_size=6), HOSTS)
def test_hosts_as_a_plain_implementation_has_them(listed: list[str], host: str) -> None:
    expected = any(host == entry or host.endswith("." + entry) for entry in listed)
    assert UrlList(listed).has_host(host) is expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://user@www.example.org:8080/shop/1", True),
        ("http://example.org/shop?x=1", True),
        ("//example.org/shop#top", True),
        ("http://example.org/shopping", False),
        ("http://sub.example.org/shop", False),
        ("http://example.org/", False),
        ("http://example.org/Shop", False),
        ("", False),
        ("http://[bad/shop", False),
        ("http://example.org/" + "a/" * 100_000, False),
    ],
)
def test_urls(url: str, expected: bool) -> None:
    assert UrlList(["http://www.Example.org/shop/"]).has_url(url) is expected


def test_files_of_a_folder_and_their_bytes(tmp_path: Path) -> None:
    (tmp_path / "adult").mkdir()
    (tmp_path / "adult" / "domains").write_bytes(b"one.example\n\xff\xfe\n\n# two.example\n")
    (tmp_path / "adult" / "expressions").write_text("three.example\n")
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    (chosen / "adult").symlink_to(tmp_path / "adult")  # as who takes some of many categories has them
    for folder in (tmp_path, chosen):
        found = read_url_list((str(folder),), "field")
        assert (len(found), found.has_host("one.example"), found.has_host("three.example")) == (2, True, False)


@pytest.mark.parametrize("entry", ["[2a02:db8::7]", "2a02:0db8:0::7", "http://[2A02:DB8::7]:8080/", "||[2a02:db8::7]^"])
def test_a_host_that_is_an_address_of_version_6(entry: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{entry}\n")
    found = read_url_list((str(tmp_path / "list.txt"),), "field")
    assert found.has_host(host_of("https://[2a02:db8:0:0::7]:443/a")) and found.has_host("2a02:db8::7")
    assert found.has_url("http://me@[2a02:db8::0007]:80/shop?x=1") and not found.has_url("http://[2a02:db8::8]/shop")
    assert not found.has_host("2a02:db8::8") and not found.has_host("2a02") and not found.has_url("http://2a02/")


@given(st.text("[]:.0af7%", max_size=30))
def test_brackets_and_colons_of_any_kind_are_taken(text: str) -> None:
    for host in (text, f"[{text}]"):
        assert UrlList([f"{host}/x"]).has_url(f"http://{host}/x")


def test_start_of_a_url_at_an_address_of_version_6() -> None:
    found = UrlList(["[2a02:db8::7]/shop"])
    assert found.has_url("http://[2a02:db8::7]:80/shop/1") and not found.has_url("http://[2a02:db8::7]/")
    assert not found.has_host("2a02:db8::7")


FORMS = ["őszibarack.example", "ŐSZIBARACK.Example.", "o\u030bszibarack。example", "%C5%91szibarack.example"]
PUNYCODE = "xn--szibarack-zyb.example"


@pytest.mark.parametrize("form", [*FORMS, PUNYCODE, PUNYCODE.upper()])
def test_a_host_is_the_same_in_unicode_and_in_punycode(form: str) -> None:
    assert host_of(f"http://user@{form}:8080/a") == host_named(f" {form}:80 ") == PUNYCODE
    for listed in (form, PUNYCODE):
        found = UrlList([listed, f"https://{form}/shop"])
        assert found.has_host(form) and found.has_host(f"bolt.{PUNYCODE}") and not found.has_host("barack.example")
    for url in (f"http://{form}/shop/1", f"http://{PUNYCODE}:80/shop/1"):
        assert UrlList([f"{form}/shop"]).has_url(url) and UrlList([f"{PUNYCODE}/shop"]).has_url(url)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("*", "*"), ("*.Körte.example", "*.xn--krte-5qa.example"), ("kör*.example.", "kör*.example"), ("A.b", "a.b")],
)
def test_host_patterns(pattern: str, expected: str) -> None:
    assert ascii_host_pattern(pattern) == expected


@given(st.text(max_size=300))
def test_any_text_has_a_host_or_none(text: str) -> None:
    host = host_of(f"http://{text}/")
    assert len(host) <= 253 and host == host.lower() and not host.endswith(".") and not set(host) & set(" \t\n\x00")


@given(st.text("ab-.:/@?#[]%A é\t\xad", max_size=12), st.sampled_from(["http://", "https://"]))
def test_plain_hosts_are_answered_as_all_others(text: str, scheme: str) -> None:
    try:
        expected = ascii_host(urlsplit(scheme + text).hostname or "")
    except ValueError:
        expected = ""
    assert host_of(scheme + text) == expected


@pytest.mark.parametrize(
    "entry",
    ["*.szilva.example", ".szilva.example", "||szilva.example^", "||szilva.example^$all", "0.0.0.0 szilva.example"],
)
def test_entries_as_other_lists_write_them(entry: str) -> None:
    found = UrlList([entry])
    assert found.has_host("szilva.example") and found.has_host("bolt.szilva.example")
    assert not found.has_host("barack.example") and not found.has_host("example")


@pytest.mark.parametrize(
    "content",
    [
        "szilva.example\nb\u00f3dza.example\n".encode("utf-16"),
        b'"szilva.example",\n"xn--bdza-qqa.example",\n',
        b"127.0.0.1 szilva.example xn--bdza-qqa.example\n",
        b"szilva.example\tasked in June\nhttps://xn--bdza-qqa.example/*\n",
    ],
)
def test_a_file_as_programs_write_it(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(content)
    found = read_url_list((str(file),), "opt_outs.hosts")
    assert all(found.has_url(f"https://{host}/x") for host in ("szilva.example", "b\u00f3dza.example"))


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(b"szilva.example\n", mtime=0),
        b"1,szilva.example\n2,barack.example\n",
        b"address=/szilva.example/0.0.0.0\n",
        b"- szilva.example\n",
    ],
)
def test_a_file_that_names_no_hosts_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"opt_outs.hosts: \d of the first \d entries of .*list.txt name no host"):
        read_url_list((str(file),), "opt_outs.hosts")
