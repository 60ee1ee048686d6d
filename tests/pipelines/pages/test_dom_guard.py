"""Pages that would take seconds are told from those that do not. The generators are those of the module's figures."""

from collections.abc import Callable

import pytest
from resiliparse.parse.html import HTMLTree

from pipelines.pages.dom_guard import is_too_costly, is_too_deep
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
