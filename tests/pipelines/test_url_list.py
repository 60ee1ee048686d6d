"""Lists of hosts and URLs."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.url_list import UrlList, read_url_list

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
    found = read_url_list((str(tmp_path),), "field")
    assert (len(found), found.has_host("one.example"), found.has_host("three.example")) == (2, True, False)
