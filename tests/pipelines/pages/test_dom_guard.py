"""Pages that would take seconds, or more memory than they may, are told from those that do not.

The generators are those of the module's figures. Whatever stands around a tag, its attributes are counted: the parser
says how many there are.
"""

import re
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resiliparse.parse.html import HTMLTree

from pipelines.pages import dom_guard
from pipelines.pages.dom_guard import has_many_attributes, is_too_costly, is_too_deep
from pipelines.pages.parse import Markup

COSTLY: dict[str, Callable[[int], str]] = {
    "formatting": lambda n: "".join(f"<font a={i}><p>" for i in range(n)),
    "mixed case": lambda n: "".join(f"<B a={i}><i b={i}><p>" for i in range(n // 2)),
    "options": lambda n: "<select>" + "<option>x</option>" * n,
    "attributes": lambda n: "<p " + " ".join(f"data-attribute-{i}=value" for i in range(n)) + ">",
    "attributes that look like tags": lambda n: "<p " + " ".join(f"<a{i}" for i in range(n)) + ">",
    "attributes without spaces": lambda n: "<p " + "".join(f'a{i}=""' for i in range(n)) + ">",
    "attributes that hold the end of a tag": lambda n: "<p " + "".join(f'a{i}=">"' for i in range(n)) + ">",
    "few of which hold it": lambda n: "<p " + " ".join(f"a{i}" + "= '>'" * (i % 99 == 0) for i in range(n)) + ">",
    "and tags": lambda n: "<p " + " ".join(f'a{i}="<b c=\'>"' for i in range(n)) + ">",
    "behind a comment": lambda n: '<!-- > <a b=" --><p ' + " ".join(f"a{i}='>'" for i in range(n)) + ">",
    "behind a script": lambda n: "<script>x = '>'; y<a b='</script><p " + " ".join(f'a{i}=">"' for i in range(n)) + ">",
    "a vertical tab": lambda n: '<p a=\v" ' + " ".join(f"a{i}" for i in range(n)) + ">",
    "of several elements": lambda n: ("<p " + " ".join(f"a{i}=''" for i in range(n // 4)) + ">") * 8,
    "at the root": lambda n: "".join(f"<HTML a{i}>" for i in range(n)),
    "at both roots": lambda n: "<body " + "".join(f"x><body a{i} " for i in range(n)) + ">",
    "ruby's parts": lambda n: "<rb><rp>" * n,
    "groups of options": lambda n: "<optgroup>" * (2 * n),
    "items in what stays open": lambda n: "<span>" * n + "<li></li>" * n,
    "end tags of nothing": lambda n: "<span>" * n + "</x>" * n,
    "tags": lambda n: "<br>" * 40 * n,
}


def costly(page: str) -> bool:
    return is_too_costly(Markup(page.encode()))


@pytest.mark.parametrize("kind", COSTLY)
def test_costly_pages(kind: str) -> None:
    assert costly("<html><body>" + COSTLY[kind](30_000))
    assert not costly("<html><body>" + COSTLY[kind](90))


@pytest.mark.parametrize(
    "page",
    [
        "<p><b>bold</b> and <i class=x>italic</i></p>" * 20_000,
        "<table>" + "<tr><td><small>1</small></td></tr>" * 20_000,
        "<table>" + "<tr><td><div><span>1<br><img src=x></span></div>" * 20_000,
        "<ul>" + "<li><p>x" * 50_000,
        "<ruby><rb>a</rb><rp>(</rp><rt>b</rt><rp>)</rp></ruby>" * 20_000,
        "<script>" + "x = 1; " * 100_000 + "</script>",
        "<p>" + "word " * 200_000,
        "<button @click=\"() => { open = 1 > 0 }\" x-data='{ a: 1 > 0 }'>x</button>" * 4_000,
        "<script>" + "if (a<b) s = '<p class=\"x\">'; else f(() => 1); " * 10_000 + "</script>",
        "<p title='" + "<i class=x>word</i> " * 10_000 + "'>",
    ],
)
def test_large_pages_that_are_harmless(page: str) -> None:
    assert not costly(page)
    assert not is_too_deep(Markup(page.encode()), HTMLTree.parse(page))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("piece", "expected"),
    [
        ("<html", True),
        ("<html/a=", True),
        ('=">', False),
        ("<a =\">'", False),
        ("<html =\">'", True),
        ("<a<", True),
        ("<p '=\">", False),
    ],
)
def test_the_look_itself_is_short(piece: str, expected: bool) -> None:
    """Where each tag or quote may go on to the end of the page, it would take many minutes, and takes .1 s."""
    assert is_too_costly(Markup((piece * (1_500_000 // len(piece))).encode())) is expected


@pytest.mark.parametrize(
    ("depth", "characters", "expected"),
    [
        (50, 10_000, False),
        (200, 10_000, False),
        (300, 10_000, False),  # so little text takes no time, however deep
        (5000, 10_000, True),
        (200, 1_000_000, False),
        (300, 1_000_000, True),
        (990, 1_000_000, True),
        (30, 4_000_000, False),
        (100, 4_000_000, True),
    ],
)
@pytest.mark.parametrize("end", ["", "text<!-- x --><b></b>text<i></i>"])
def test_depth(depth: int, characters: int, expected: bool, end: str) -> None:
    """The longer a page, the fewer levels it may have: each text is gathered anew at each of them."""
    page = "<p>text" * 500 + "<p>" + "word " * (characters // 5) + "<div>" * depth + end
    assert is_too_deep(Markup(page.encode()), HTMLTree.parse(page)) is expected


SOUP = st.lists(
    st.sampled_from(
        [
            *("<b", "</b", "<p ", "<html ", "<body ", ">", "/>", " ", "\n", "\v", "=", '"', "'", "x", "a=", '="', "='"),
            *(
                "<!--",
                "-->",
                "<script>",
                "</script>",
                "<title>",
                "</title>",
                "<style ",
                "</style>",
                "<svg>",
                "<![CDATA[",
            ),
            *('<b c=">', "<b c='>", ' d=">"', " d='<b>'", "<?x ", "<!doctype y "),
        ]
    ),
    max_size=12,
).map("".join)
# Of each attribute of the tag, by its number.
ATTRIBUTES = st.lists(
    st.sampled_from(
        [" a{0}", "\na{0}=x", '/a{0}=">"', " a{0} = '>'", " a{0}='\"'", ' a{0}="<b c=">', " <a{0}", " a{0}=\v'"]
    ),
    min_size=1,
    max_size=4,
)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a page of a kilobyte passes."""
    many = 40
    monkeypatch.setattr(dom_guard, "MAX_SQUARES", many**2)
    monkeypatch.setattr(dom_guard, "_FEW_BYTES", 0)
    monkeypatch.setattr(dom_guard, "_MANY", many + 1)
    some = re.compile(rb"(?:%b){0,%d}+" % (dom_guard._ATTRIBUTE.pattern, many + 1))
    monkeypatch.setattr(dom_guard, "_ATTRIBUTES", some)


@settings(max_examples=400)
@given(before=SOUP, name=st.sampled_from(["p", "b", "html", "BODY", "svg"]), attributes=ATTRIBUTES, after=SOUP)
def test_no_tag_with_many_attributes_is_missed(before: str, name: str, attributes: list[str], after: str) -> None:
    tag = f"<{name}" + "".join(attributes[n % len(attributes)].format(n) for n in range(200)) + " >"
    page = f"<html><body>{before}{tag}{after}"
    document = HTMLTree.parse(page).document
    assert document is not None
    # Tags that are too short to be looked at have as much again.
    if sum(len(element.attrs) ** 2 for element in document.query_selector_all("*")) > 2 * dom_guard.MAX_SQUARES:
        assert has_many_attributes(Markup(page.encode()))


PROGRAM = """
import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from pipelines.pages import parse

parse.MAX_DOM_BYTES = 40_000_000
costly = "<p><b " + " ".join(f"a{number}" for number in range(300)) + ">x" + "<p>x" * 3000  # 150 MB
page = "<p class=a>x</p>" * 1000
all_have_begun = threading.Barrier(3)  # a stack is memory too: none is asked for while a page may take all there is
with ThreadPoolExecutor(3, initializer=all_have_begun.wait) as threads:
    list(threads.map(str, range(3)))
    refused = list(threads.map(lambda html: parse.parse(html) is None, [costly, page] * 30))
assert refused == [True, False] * 30, refused
assert resource.getrlimit(resource.RLIMIT_DATA) == (parse._SOFT, parse._HARD)
"""


def test_each_of_many_costly_pages_is_refused() -> None:
    """In a process of its own: what malloc has left over from other tests, a page may have."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
