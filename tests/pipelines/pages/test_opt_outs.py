"""Every way in which a page is kept out by its owner or by the user's lists has its own reason."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resiliparse.parse.html import HTMLTree

from pipelines.documents.stage import documents_key, process_unit
from pipelines.pages.opt_outs import may_opt_out
from pipelines.pages.parse import Markup
from pipelines.settings import DocumentSettings, OptOutSettings, WarcSource
from pipelines.sources.work_units import documents_file, list_work_units
from storage.errors import InputError
from storage.workspace import Workspace
from tests.pipelines.warc_files import ENGLISH, Page, html, prose

WriteWarc = Callable[..., Path]
HTML = {"Content-Type": "text/html"}
TEXT = prose(ENGLISH, 1)


@pytest.fixture
def reasons_of(
    write_warc: WriteWarc, workspace: Workspace, document_settings: DocumentSettings
) -> Callable[..., list[str]]:
    def reasons(pages: list[Page], **changed: Any) -> list[str]:
        [unit] = list_work_units({"crawl": WarcSource(paths=[str(write_warc(pages))])}, workspace)
        report = process_unit(unit, document_settings.model_copy(update=changed), workspace.root)
        rows = pq.read_table(documents_file(workspace.root, report.unit_id)).to_pylist()
        assert all(row["text"] is None for row in rows if row["reason"] != "kept")
        return [row["reason"] for row in rows]

    return reasons


def test_a_page_of_no_host_is_refused(reasons_of: Callable[..., list[str]]) -> None:
    """Whose it is nobody can tell, so that no list and no removal would hold for it."""
    pages = [Page(html(TEXT), url) for url in ("", "<>", "/path", "http:///path", "https://www.example.org/path")]
    pages.append(Page(TEXT, "", record_type="conversion"))
    assert reasons_of(pages) == [*["no_host"] * 4, "kept", "no_host"]


def test_headers_and_meta_tags(reasons_of: Callable[..., list[str]]) -> None:
    pages = [
        Page(html(TEXT), headers=HTML | {"X-Robots-Tag": "ccbot: NOAI, nofollow"}),
        Page(html(TEXT), headers=HTML | {"X-Robots-Tag": "noimageai"}),
        Page(html(TEXT), headers=HTML | {"TDM-Reservation": " 1 ", "TDM-Policy": "https://example.org/policy"}),
        Page(html(TEXT), headers=HTML | {"tdm-reservation": "0"}),
        Page(html(TEXT, head='<meta content="noai" name="CCBot">')),
        Page(html(TEXT, head='<meta name="tdm-reservation" content="1">')),
        Page(html(TEXT, head='<META NAME="robots" CONTENT="No&#x41;I">')),
        Page(html(TEXT, head='<meta name="robots" content="noai">').encode("utf-16")),
        Page(html(TEXT, head='<meta name="robots" title="a <meta b" content="noai">')),
        Page(html(TEXT, head='<meta name="robots" title="1 > 0" content="noai">')),
        Page(html(TEXT, head='<meta name="description" content="noai, none">')),
        Page(html(TEXT, head='<meta name="robots" content="none">')),
        Page(html(TEXT), headers=HTML | {"Content-Usage": "search=y, Train-AI=n"}),
        Page(html(TEXT), headers=HTML | {"content-usage": "train-ai=y, search=n"}),
        Page(html(TEXT), headers=HTML | {"Content-Signal": "search=yes,ai-train=no"}),
        Page(html(TEXT), headers=HTML | {"Content-Signal": "ai-train=yes, ai-input=no"}),
    ]
    always = [
        "x_robots_tag",
        "kept",
        "tdm_header",
        "kept",
        "meta_robots",
        "tdm_meta",
        *["meta_robots"] * 4,
        "kept",
        "kept",
        "content_usage_header",
        "kept",
        "content_signal_header",
        "kept",
    ]
    assert reasons_of(pages) == always


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            [
                *("<meta", "<META", "<m", "<", ">", "/", "=", " ", "\t", "\v", '"', "'", "<!--", "-->", "<script>"),
                *("name=robots", 'name="robots" ', "name='CCbot'", " content=", " title=", "x", "&#39;", "&amp;"),
                *("noai", "NoAI", "no&#97;i", "no&#X61i", "noimage&#x0041;i", "é"),
            ]
        ),
        max_size=14,
    ).map("".join)
)
def test_the_look_at_bytes_misses_no_tag(soup: str) -> None:
    """Whatever quotes and tags are inside of it: the parser says what is a meta tag."""
    page = f"<html><head><meta {soup}</head><body><p>Text.</p>"
    document = HTMLTree.parse(page).document
    assert document is not None
    contents = [tag.get_attribute("content") or "" for tag in document.query_selector_all("meta[name*=bot i][content]")]
    if any("noai" in content.lower() or "noimageai" in content.lower() for content in contents):
        assert may_opt_out(Markup(page.encode()), OptOutSettings())


@pytest.mark.parametrize("soup", ["<meta " * 5_000, "<meta " + "a=b/c " * 1_000 + "x\"'>"])
def test_the_look_at_bytes_leaves_hostile_tags_to_the_parser(soup: str) -> None:
    """Tags in tags, and a tag that ends in many ways, cost it no more than others."""
    assert may_opt_out(Markup(soup.encode()), OptOutSettings())


def test_which_statements_count_is_a_setting(reasons_of: Callable[..., list[str]]) -> None:
    pages = [
        Page(html(TEXT), headers=HTML | {"X-Robots-Tag": "noimageai"}),
        Page(html(TEXT), headers=HTML | {"TDM-Reservation": "1"}),
        Page(html(TEXT, head='<meta name="robots" content="none">')),
        Page(html(TEXT, head='<meta name="robots" content="noai">')),
        Page(html(TEXT), headers=HTML | {"Content-Signal": "ai-train=no", "Content-Usage": "train-ai=n"}),
    ]
    statements = OptOutSettings(robots=("noimageai", "none"), tdm=False, usage_preferences=False)
    assert reasons_of(pages, opt_outs=statements) == ["x_robots_tag", "kept", "meta_robots", "kept", "kept"]


def test_lists_and_robots_txt(reasons_of: Callable[..., list[str]], write_warc: WriteWarc, tmp_path: Path) -> None:
    rules = b"User-agent: *\nDisallow: /\n\nUser-agent: GPTBot\nUser-agent: Other\nDisallow: /private\n"
    captures = write_warc(
        [
            Page(rules, "https://www.example.org/robots.txt", headers={"Content-Type": "text/plain"}),
            Page("User-agent: GPTBot\nDisallow: /", "https://b.example.org/robots.txt", status="404 Not Found"),
        ],
        "robots.warc.gz",
    )
    denied, blocked = tmp_path / "denied.txt", tmp_path / "ut1" / "shopping"
    denied.write_text("# asked by mail\nASKED.example.org\nhttps://example.net/blog/  # one author\n")
    blocked.mkdir(parents=True)
    (blocked / "domains").write_text("shop.example\n")
    (blocked / "urls").write_text("www.example.com/catalogue\n")
    lists = {
        "opt_outs": OptOutSettings(hosts=(str(denied),), robots_txt=(str(captures),)),
        "block_lists": (str(tmp_path / "ut1"),),
    }
    expected = {
        "https://asked.example.org/": "denied_host",
        "https://sub.asked.example.org/": "denied_host",
        "https://notasked.example.org/": "kept",
        "https://example.net/blog/1": "denied_host",
        "https://example.net/blogs": "kept",
        "https://www.example.org/private/1?q": "robots_txt",
        "https://www.example.org/public": "kept",
        "https://b.example.org/private": "kept",
        "https://www.shop.example:8080/": "blocked_host",
        "http://example.com/catalogue?page=2": "blocked_url",
        "http://example.com/contact": "kept",
    }
    assert reasons_of([Page(html(TEXT), url) for url in expected], **lists) == list(expected.values())


def test_the_key_depends_on_what_lists_say_not_on_where_they_lie(
    tmp_path: Path, document_settings: DocumentSettings
) -> None:
    def key(name: str, content: str) -> str:
        (tmp_path / name).write_text(content)
        return documents_key(document_settings.model_copy(update={"block_lists": (str(tmp_path / name),)}))

    assert key("a", "example.org\n") == key("b", "example.org\n")
    assert key("a", "example.org\n") != key("c", "example.com\n") != documents_key(document_settings)


@pytest.mark.parametrize(
    ("given_lists", "field"),
    [
        ({"block_lists": ("none",)}, "documents.block_lists: none is neither"),
        ({"opt_outs": OptOutSettings(hosts=("none",))}, r"documents.opt_outs.hosts: none is neither"),
        ({"opt_outs": OptOutSettings(robots_txt=("none*",))}, r"documents.opt_outs.robots_txt: none\* matches no file"),
    ],
)
def test_a_missing_list_is_refused(given_lists: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError, match=field):
        documents_key(DocumentSettings(**given_lists))


def test_opt_outs_in_other_places_and_of_wider_categories(reasons_of: Callable[..., list[str]]) -> None:
    pages = [
        Page(html(TEXT, head='<meta http-equiv="X-Robots-Tag" content="noai">')),
        Page(html(TEXT, head='<meta property="robots" content="noai">')),
        Page(html(TEXT, head='<meta http-equiv="tdm-reservation" content="1">')),
        Page(html(TEXT, head='<meta property="og:title" content="noai">')),
        Page(html(TEXT), headers=HTML | {"Content-Usage": "bots=n"}),
        Page(html(TEXT), headers=HTML | {"Content-Usage": "bots=n, train-ai=y"}),
        Page(html(TEXT), headers=HTML | {"Content-Usage": "bots=y"}),
    ]
    expected = ["meta_robots", "meta_robots", "tdm_meta", "kept", "content_usage_header", "kept", "kept"]
    assert reasons_of(pages) == expected


def test_opt_outs_as_owners_write_them(reasons_of: Callable[..., list[str]]) -> None:
    kept_out = {
        "x_robots_tag": [("X-Robots-Tag", value) for value in ('"noai"', "[noai]", "noindex, noai.")],
        "tdm_header": [("TDM-Reservation", value) for value in ("1, 1", "0, 1", "1; policy", '"1"')],
        "content_signal_header": [
            ("Content-Signal", value)
            for value in ("search: yes, ai-train: no", "ai-train=0", "ai-input=yes ai-train=no")
        ],
        "content_usage_header": [("Content-Usage", "train-ai=false")],
        "kept": [("TDM-Reservation", "10"), ("X-Robots-Tag", "noai-not"), ("Content-Signal", "ai-train: true")],
    }
    for reason, headers in kept_out.items():
        pages = [Page(html(TEXT), headers=HTML | {name: value}) for name, value in headers]
        assert reasons_of(pages) == [reason] * len(headers)
    of_tags = ["\ufeffnoai", "&quot;noai&quot;", "index; noai."]
    pages = [Page(html(TEXT, head=f'<meta name="robots" content="{content}">')) for content in of_tags]
    assert reasons_of(pages) == ["meta_robots"] * len(of_tags)
