"""Furniture inside articles, by the HTML standard's names and by words that sites put into class names: banners of
consent, copyright lines, captions. The headline has its own column, `title`.

And parts that the library takes for furniture, by their tag or their place, which hold text nevertheless.
"""

import re
from collections import defaultdict
from collections.abc import Sequence

from resiliparse.parse.html import ElementNode, HTMLTree

from pipelines.pages.lines import (
    MIN_LIST_ITEMS,
    ends_sentence,
    first_ingredients,
    is_prose,
    is_quantity,
    lines_of,
    names_ingredients,
)

SHORT_CONTENT = 1000  # characters: of a main content that may have lost most of its text
PARTS_OF_PAGE = ("html", "body", "main", "article", "section")
FURNITURE_WORDS = ("caption", "newsletter", "cookie", "consent", "copyright", "popup")
FURNITURE_MARK = "data-furniture"  # put on parts that are furniture by name: what is told once need not be told again
MARKED = f"[{FURNITURE_MARK}]"
_LOOKED_INTO = "data-looked"
_TEXT_MARK = "data-text"  # the tag of a part that the library would have dropped, on what stands in its place
FURNITURE = ["h1", "header", "footer", "figcaption", MARKED]
# In a longer word too (`cookiebanner`), but not in another word of the same root (`cookieless`, `recaption`).
_NAMES_FURNITURE = re.compile(rf"(?<!\bre)(?:{'|'.join(FURNITURE_WORDS)})(?!(?:ing|ed|less|ers?)(?![a-z]))")
# A name is of what the text is about, and of no furniture, where it has one of these words and none of the next: as a
# whole, or each of the names (parted by blanks) that has a word of furniture.
_CONTENT_WORDS = {
    "article",
    "body",
    "category",
    "content",
    "entry",
    "issue",
    "main",
    "post",
    "recipe",
    "story",
    "tag",
    "topic",
}
_BANNER_WORDS = {
    "banner",
    "bar",
    "box",
    "button",
    "close",
    "form",
    "modal",
    "notice",
    "overlay",
    "popup",
    "signup",
    "wp",
}
_WORDS = re.compile(r"[a-z]+")
# Where more than this share of the text, and so many characters, stand under names of one kind, that is no furniture.
# Banners of consent can be as long: beside a text of some length (SHORT_CONTENT) they stay furniture. Where there are
# paragraphs of prose that speak of no web site, as those of banners and newsletters do, a smaller share is enough: that
# changes none of 2,400 real pages.
_MAX_LOST_SHARE, _MIN_LOST, _MAX_LOST_PROSE_SHARE = 0.5, 500, 0.2
_CONSENT_NAME = re.compile("cookie|consent|gdpr|privacy")
_BANNER_NAME = re.compile("banner|bar|modal|notice|overlay|popup")
_BANNER_TEXT = re.compile(
    r"\b(?:web|sit(?:es?|io|ios|o|i)\b|browser|böngész|stron[aęyi]|stránk|spletn|witryn|сайт|ιστ|hjemmeside|sivust"
    r"|privacy|gdpr|dsgvo|rgpd|datenschutz|newsletter|e-?mail|copyright|terms)|cookies? |©",
    re.IGNORECASE,
)
# One query for all parts that are looked at: a walk through the page takes a tenth of the time of main content.
_LISTS = ["body>ul", "body>*>ul", "body>*>*>ul"]
# Blocks to browsers that the library takes for parts of a line: their words would be joined with those beside them.
_BLOCKS = ("summary", "legend", "dialog", "menu", "dir", "search")
_MAX_BOXES = 5000  # and looks into parts; .1 s
# The library drops these whatever they hold. Figures of tables, quotations and code are text, beside those of other
# sites' posts; ingredients are, wherever they stand.
_DROPPED = ("aside", "figcaption", "figure")
_IN_DROPPED = ",".join(_DROPPED)
_KEPT_ATTRIBUTES = ("class", "id", "style", "hidden", "aria-hidden", "role")  # by which the library drops parts
_OF_TEXT, _EMBEDDED = ("table", "pre", "blockquote"), "iframe, [class*=embed], [class*=tweet], [class*=instagram]"
_ABOUT_QUOTE = re.compile("embed|pull")  # pull quotes repeat what the text says
_MAX_INGREDIENTS = 5000  # characters
_DROPPED_HEADINGS = "h1, header, label"  # of ingredients: the library, or we, drop these too
_LOOKED_AT = ",".join([*_LISTS, *_BLOCKS, *_DROPPED, "label", *(f"[class*={word}]" for word in FURNITURE_WORDS)])
# Labels are dropped too: of fields to fill in, and of boxes to tick, as ingredients of a recipe have.
_THREE_FIGURES = re.compile("[\\d¼½¾⅓⅔⅛](?:[^\\d¼½¾⅓⅔⅛]*+[\\d¼½¾⅓⅔⅛]){2}")  # ingredients have: a quick look
_FIELDS, _TICKED = "input:not([type=checkbox]), select, textarea, button", "input[type=checkbox]"
_PARAGRAPHS, _HEADING_TAGS = ("p", "li", "dd", "td", "blockquote"), ("h2", "h3", "h4", "h5", "h6")
_HEADINGS = ", ".join((*_HEADING_TAGS, "legend", "summary", "strong"))
_WORD = re.compile(r"[^\W\d_]")
_MAX_LABEL, _MAX_LABELS = 80, 2000  # characters, if it is no sentence; of a page
_MIN_LIST_DEPTH, _CONTROLS = 4, "a, button, input, img, select"  # of a list that is no menu; what menus hold
_BUTTONS, _MAX_LINKED_SHARE = "button, input:not([type=checkbox]), img, select", 0.25  # of no ingredients


def large_parts(seeming: list[ElementNode], kept: int) -> list[ElementNode]:
    """Return the parts whose class names furniture and that hold much of the page's text, given how many characters
    were kept of the rest.
    """
    groups: defaultdict[str, list[ElementNode]] = defaultdict(list)
    for part in seeming:
        groups[" ".join(_WORDS.findall((part.getattr("class") or "").lower()))].append(part)
    large = []
    for name, parts in groups.items():
        names_consent = kept >= SHORT_CONTENT and _CONSENT_NAME.search(name) is not None
        if names_consent and _BANNER_NAME.search(name):
            continue
        lost = sum(len(part.text or "") for part in parts)
        if (not names_consent and _is_large(lost, kept, _MAX_LOST_SHARE)) or (
            _is_large(lost, kept, _MAX_LOST_PROSE_SHARE)
            and _is_large(sum(_paragraphs_of_prose(part) for part in parts), kept, _MAX_LOST_PROSE_SHARE)
        ):
            large += parts
    return large


def _is_large(lost: int, kept: int, share: float) -> bool:
    return lost >= _MIN_LOST and lost > share * (kept + lost)


def _paragraphs_of_prose(part: ElementNode) -> int:
    """Return how many characters the part's paragraphs of prose have, without those that speak of a web site."""
    texts = [(paragraph.text or "").strip() for paragraph in part.get_elements_by_tag_name("p")[:]]
    return sum(len(text) for text in texts if is_prose(text) and not _BANNER_TEXT.search(text))


def names_content(classes: str) -> bool:
    """Tell whether classes that have a word of furniture in them are nevertheless of what the text is about."""
    if _has_word_of_content(classes):
        return True
    return all(_has_word_of_content(name) for name in classes.split() if _NAMES_FURNITURE.search(name))


def _has_word_of_content(name: str) -> bool:
    words = {word.removesuffix("s") for word in _WORDS.findall(name.lower())}
    return "informed" in words or (bool(words & _CONTENT_WORDS) and not words & _BANNER_WORDS)


def mend(tree: HTMLTree) -> list[ElementNode]:
    """Keep lists and parts that the library would drop, and return the rest of the parts that seem furniture by name.

    The library goes by the class, and knows no exceptions: so classes that only seem to name furniture are taken away.
    """
    seeming, boxes = [], 0
    looked_at = parts(tree, _LOOKED_AT)
    _keep_labels(tree, [part for part in looked_at if part.tag == "label"][:_MAX_LABELS])
    for part in looked_at:
        if part.tag == "label":
            continue
        name = part.getattr("class") or ""
        if part.tag == "ul":
            _deepen_list(tree, part)
        elif part.tag in _BLOCKS and boxes < _MAX_BOXES:
            _put_into_box(tree, part)
            boxes += 1
        elif part.tag in _DROPPED and boxes < _MAX_BOXES:
            boxes += 1
            if _holds_text(part):
                part = _as(tree, part, "div")
                for heading in part.query_selector_all(_DROPPED_HEADINGS)[:]:
                    _as(tree, heading, "div")
        if not any(word in name for word in FURNITURE_WORDS):
            continue
        if names_content(name):
            part["class"] = ""
        elif part.tag not in PARTS_OF_PAGE:
            part[FURNITURE_MARK] = ""
            seeming.append(part)
    return seeming


def parts(tree: HTMLTree, selector: str) -> Sequence[ElementNode]:
    """Return the parts that match, as a tuple: the library's own list looks each of them up from its start again."""
    return tree.document.query_selector_all(selector)[:] if tree.document else ()


def _deepen_list(tree: HTMLTree, part: ElementNode) -> None:
    """Put a list without links deeper: the library takes those near the root for menus, ingredients of a recipe too."""
    control = part.query_selector(_CONTROLS)
    is_of_text = control is None or (control.tag in ("a", "input") and _has_ingredients(part))
    if not is_of_text and part.query_selector(f"[{_TEXT_MARK}]") is None:
        return
    if len(part.query_selector_all("li")) < MIN_LIST_ITEMS:
        return
    for _ in range(_MIN_LIST_DEPTH - 1):
        _put_into_box(tree, part)


def _has_ingredients(part: ElementNode) -> bool:
    """Tell whether a list with controls is of ingredients: boxes to tick, and links in few of them."""
    first = part.query_selector("li")
    if first is None or not is_quantity(first.text or "") or part.query_selector(_BUTTONS) is not None:
        return False
    return len(part.query_selector_all("a")) <= _MAX_LINKED_SHARE * len(part.query_selector_all("li"))


def _put_into_box(tree: HTMLTree, part: ElementNode) -> None:
    if tree.document is not None and part.parent is not None:
        box = tree.document.create_element("div")
        part.parent.replace_child(box, part)
        box.append_child(part)


def _as(tree: HTMLTree, part: ElementNode, tag: str) -> ElementNode:
    """Put an element of another tag into a part's place, with what it holds."""
    assert tree.document is not None and part.parent is not None
    other = tree.document.create_element(tag)
    for name in _KEPT_ATTRIBUTES:
        if (value := part.getattr(name)) is not None:
            other[name] = value
    other[_TEXT_MARK] = part.tag or ""
    part.parent.replace_child(other, part)
    for child in part.child_nodes[:]:
        other.append_child(child)
    return other


def _holds_text(part: ElementNode) -> bool:
    """Tell whether a part that the library would drop holds a figure of text, or ingredients. What stands in another
    such part is dropped with it, or was looked at with it: so each is walked through once.
    """
    parent = part.parent_element
    if parent is None or parent.closest(f"{_IN_DROPPED}, [{_TEXT_MARK}={part.tag}]") is not None:
        return False
    if part.tag == "figure" and (
        any(child.tag in _OF_TEXT for child in part.children[:]) or part.get_elements_by_tag_name("table")[:]
    ):
        return part.query_selector(_EMBEDDED) is None and not _ABOUT_QUOTE.search(part.getattr("class") or "")
    text = part.text or ""
    if len(text) > _MAX_INGREDIENTS or not _THREE_FIGURES.search(text):
        return False
    lines = lines_of(part)
    if first_ingredients(lines) is None:
        return False
    return len(part.query_selector_all("a")) <= _MAX_LINKED_SHARE * len(lines)


def _keep_labels(tree: HTMLTree, labels: list[ElementNode]) -> None:
    """Make labels that are text elements which the library keeps: words of a paragraph, ingredients, steps to tick."""
    others: list[tuple[ElementNode, str]] = []
    has_sentence: dict[ElementNode, bool] = {}
    for label in labels:
        text = " ".join((label.text or "").split())
        if not _WORD.search(text):
            continue
        if (parent := label.parent_element) is not None and parent.tag in _PARAGRAPHS and parent not in has_sentence:
            # Each is walked through once, however deep they stand in each other.
            has_sentence[parent] = parent.closest(f"[{_LOOKED_INTO}]") is None and _is_sentence(parent)
            parent[_LOOKED_INTO] = ""
        names_list = parent is not None and parent.tag in _HEADING_TAGS and names_ingredients(text)
        if names_list or (parent is not None and has_sentence.get(parent)):
            _as(tree, label, "span")
        elif len(text) <= _MAX_LABEL or ends_sentence(text):
            others.append((label, text))
    shapes = _shapes_of_text(tree, others) if len(others) >= MIN_LIST_ITEMS else set()
    fields = {field.id for field in parts(tree, _FIELDS) if field.id} if shapes else set()
    for label, _ in others:
        if _shape(label) in shapes and label.getattr("for") not in fields and label.query_selector(_FIELDS) is None:
            _as(tree, label, "div")


def _is_sentence(part: ElementNode) -> bool:
    return part.query_selector(_CONTROLS) is None and ends_sentence(part.text or "")


def _shapes_of_text(tree: HTMLTree, labels: list[tuple[ElementNode, str]]) -> set[tuple[str, ...]]:
    """Return how labels are set that are ingredients or steps, most of boxes to tick, and not choices of a form."""
    if first_ingredients([text for _, text in labels]) is not None:
        return {_shape(label) for label, text in labels if is_quantity(text)}
    ticked = {item for box in parts(tree, _TICKED) if (item := box.closest("li"))}
    in_lists = [(label, text) for label, text in labels if label.closest("li") in ticked]
    if len(in_lists) < MIN_LIST_ITEMS:
        return set()
    if sum(ends_sentence(text) for _, text in in_lists) < MIN_LIST_ITEMS and not any(
        names_ingredients(heading.text or "") for heading in parts(tree, _HEADINGS)
    ):
        return set()
    return {_shape(label) for label, _ in in_lists}


def _shape(label: ElementNode) -> tuple[str, ...]:
    parent = label.parent_element
    of_parent = (parent.tag, parent.getattr("class") or "") if parent else ()
    return label.getattr("class") or "", *of_parent
