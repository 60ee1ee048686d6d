"""Whatever stands around a tag, its attributes are counted: the parser says how many there are."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resiliparse.parse.html import HTMLTree

from pipelines.pages import dom_guard
from pipelines.pages.dom_guard import has_many_attributes
from pipelines.pages.parse import Markup

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
