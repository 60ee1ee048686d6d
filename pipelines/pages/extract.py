"""Main content of a page, as text."""

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import ElementNode, HTMLTree

from pipelines.pages.characters import clean, one_line
from pipelines.pages.furniture import FURNITURE, FURNITURE_MARK, MARKED, SHORT_CONTENT, large_parts, mend, parts
from pipelines.pages.lines import prose_of, trim_ends
from pipelines.pages.short_text_guard import MARK
from pipelines.settings import ExtractionSettings

MAX_TITLE_CHARACTERS = 500

_READINGS = ["rt", "rtc", "rp"]  # of ideographs (ruby): they would stand between the letters of a word
# If so little is left, perhaps much of the text stood in the furniture. Where there is little in all, it has none.
_MIN_SHARE, _MIN_WHOLE = 0.4, 250
# Names by which the library drops parts (comment, banner, hidden, related) name a thread's posts too, or what stands
# around the whole article. Where so little of a page's prose is left, and there is so much of it, all of it is taken:
# from the first line of prose, which is long and ends a sentence, to the last. Chosen here: 25 of 972 real pages had
# lost theirs, most to the last word; on those of benchmarks/content_quality.py it changes nothing. Headers, asides and
# forms that hold more than such a share of the page are none: some sites have all of it in one.
_MIN_PROSE_SHARE, _MIN_PROSE, _MAX_HELD_SHARE = 0.25, 500, 0.5
_MAY_HOLD_ALL = ("header", "aside", "form")
_NO_PROSE = ["nav", "footer", "button", "select", "figcaption", *_READINGS]
_COMMENTS = ["[id*=comment]", "[class*=comment]"]
# Beside a text of some length the rest can be teasers: there must be more of it, and comments stay out.
_MIN_PROSE_SHARE_OF_LONG = 0.15
_MAX_LOOKED_AT_SHARE, _FULL_STOPS = 0.2, (".", "。", "।", "۔")  # lines that are too short for prose have some too
_MIN_ARTICLE_SHARE = 0.5  # of the prose: what is left beside comments is then the page's own


def all_text(tree: HTMLTree) -> str:
    """Return all text of the page, with menus and alt texts: a third of main content's time, enough to tell the
    language.
    """
    return extract_plain_text(tree, preserve_formatting=False)


def main_content(tree: HTMLTree, settings: ExtractionSettings) -> str:
    """Return text of the page without navigation, banners and footers, paragraphs on lines of their own; may be empty.

    resiliparse's rules (https://resiliparse.chatnoir.eu/en/stable/man/extract/html2text.html), and ours over elements
    and lines. On the pages of benchmarks/content_quality.py they raise F1 from .934 to .965.
    """
    seeming = mend(tree)
    text = _extract(tree, settings, [*_READINGS, *FURNITURE])
    if large := large_parts(seeming, len(text)):
        for part in large:
            part["class"] = ""
            part.remove_attribute(FURNITURE_MARK)
        text = _extract(tree, settings, [*_READINGS, *FURNITURE])
    if len(text) < SHORT_CONTENT and _may_stand_in_furniture(tree, len(text)):
        whole = _extract(tree, settings, _READINGS)
        if len(whole) >= _MIN_WHOLE and len(text) < _MIN_SHARE * len(whole):
            text = whole
    if len(text) < SHORT_CONTENT:
        text = _all_prose(tree, settings, text) or text
    elif _may_have_lost_prose(tree, text):
        text = _all_prose_but_comments(tree, settings, text) or text
    return trim_ends(text)


def _all_prose(tree: HTMLTree, settings: ExtractionSettings, text: str) -> str | None:
    """Return the page from its first line of prose to its last; None where `text` has enough of it."""
    skipped = _without_prose(tree)
    whole = _extract(tree, settings, skipped, main_content=False)
    if (size := prose_of(whole)[0]) < _MIN_PROSE or prose_of(text)[0] >= _MIN_PROSE_SHARE * size:
        return None
    article = whole if settings.comments else _extract(tree, settings, [*skipped, *_COMMENTS], main_content=False)
    if prose_of(article)[0] < _MIN_ARTICLE_SHARE * size:
        article = whole
    return _from_prose_to_prose(article)


def _all_prose_but_comments(tree: HTMLTree, settings: ExtractionSettings, text: str) -> str | None:
    """Do what _all_prose does, for a text of some length."""
    comments = [] if settings.comments else _COMMENTS
    article = _extract(tree, settings, [*_without_prose(tree), *comments], main_content=False)
    if prose_of(text)[0] >= _MIN_PROSE_SHARE_OF_LONG * prose_of(article)[0]:
        return None
    return _from_prose_to_prose(article, text.strip().split("\n")[0])


def _without_prose(tree: HTMLTree) -> list[str]:
    """Return which parts of the page hold no prose of its own."""
    held = {tag: sum(map(_text_size, parts(tree, f"{tag}:not({tag} {tag})"))) for tag in _MAY_HOLD_ALL}
    if max(held.values()) < _MIN_PROSE:
        return [*_NO_PROSE, *_MAY_HOLD_ALL, MARKED]
    most = _MAX_HELD_SHARE * (_text_size(tree.body) if tree.body else 0)
    return [*_NO_PROSE, *(tag for tag, size in held.items() if size < _MIN_PROSE or size <= most), MARKED]


def _may_have_lost_prose(tree: HTMLTree, text: str) -> bool:
    """Tell cheaply whether the page has so many characters and full stops that those of a text can be a small share of
    its prose.
    """
    whole = (tree.body and tree.body.text) or ""
    if len(text) >= _MAX_LOOKED_AT_SHARE * len(whole):
        return False
    scripts = _scripts(tree.body)
    return len(text) < _MAX_LOOKED_AT_SHARE * (len(whole) - len(scripts)) and any(
        text.count(stop) < _MAX_LOOKED_AT_SHARE * (whole.count(stop) - scripts.count(stop)) for stop in _FULL_STOPS
    )


def _scripts(part: ElementNode | None) -> str:
    """Return what the text of a part has beside text."""
    return "".join(script.text or "" for script in part.get_elements_by_tag_name("script")[:]) if part else ""


def _text_size(part: ElementNode) -> int:
    return len(part.text or "") - len(_scripts(part))


def _from_prose_to_prose(text: str, begin: str | None = None) -> str:
    """Return the lines from the first of prose, or from the line `begin` if that is above it, to the last of prose."""
    _, first, last = prose_of(text)
    lines = text.split("\n")
    first = next((number for number, line in enumerate(lines[:first]) if line.strip() == begin), first)
    return "\n".join(lines[first : last + 1])


def _may_stand_in_furniture(tree: HTMLTree, kept: int) -> bool:
    lost = sum(len(part.text or "") for part in parts(tree, ",".join(FURNITURE)))
    return kept < _MIN_SHARE * (kept + lost)


def _extract(tree: HTMLTree, settings: ExtractionSettings, skipped: list[str], main_content: bool = True) -> str:
    return clean(
        extract_plain_text(
            tree,
            main_content=main_content,
            alt_texts=settings.alt_texts,
            comments=settings.comments,
            post_meta=settings.post_meta,
            list_bullets=settings.list_bullets,
            skip_elements=[",".join(skipped)],  # one selector: six take a tenth of the time more
        ).replace(MARK, ""),
        line_end=" ",  # what ends lines in plain text ends none in a paragraph of HTML
    )


def title(tree: HTMLTree) -> str | None:
    return one_line(tree.title or "", MAX_TITLE_CHARACTERS) or None
