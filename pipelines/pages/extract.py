"""Main content of a page, as text."""

import re
from collections import defaultdict
from collections.abc import Sequence

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import ElementNode, HTMLTree

from pipelines.pages.characters import clean, one_line
from pipelines.pages.short_text_guard import MARK
from pipelines.settings import ExtractionSettings

# How letters begin and end, in European languages: lines that are short and yet belong to the text.


# First words of the line above the first sentence, and of the line below the last. Chosen here, from letter-writing
# guides of each language; no list is complete.
_SALUTATIONS = (
    "dear", "hello", "hi", "kedves", "drága", "tisztelt", "lieber?", "liebes?", "sehr geehrter?", "hallo", "cher",
    "chère", "chers", "chères", "bonjour", "estimad[oa]s?", "querid[oa]s?", "hola", "car[oaie]", "gentile",
    "egregi[oa]", "prezad[oa]s?", "car[oa]s", "beste", "geachte", "drog[ia]", "szanown[aiy]e?", "mil[ýáí]",
    "vážen[ýáí]", "drah[ýáí]", "drag[iaeă]", "poštovan[iaeo]", "spoštovan[iae]", "stimat[eă]?", "kære", "kjære",
    "käre", "kära", "bästa", "hyvä", "hei", "rakas", "arvoisa", "αγαπητ[έήοό]ί?", "уважаем[ыа][йея]",
    "дорог[оа][йея]", "скъп[иа]", "шановн[иа][йі]", "дорог[иа]й?", "sayın", "sevgili", "kallis", "lugupeetud",
    "mīļ[aā]is", "miel[aą]s", "gerb",
)  # fmt: skip
_CLOSINGS = (
    "(?:with )?(?:kind|best|warm) (?:regards|wishes)", r"(?:all )?(?:my |the )?(?:best|love)(?=\W*$)",
    r"yours(?: \w+)?(?=\W*$)", "sincerely", "szeretettel", "üdvözlettel", "tisztelettel", "üdv", "ölel",
    "barátsággal", "mit (?:freundlichen|besten|herzlichen|lieben) grüßen", "(?:liebe|viele|herzliche|beste) grüße",
    "hochachtungsvoll", "cordialement", "bien à (?:vous|toi)", "amicalement", "bises", "atentamente", "saludos",
    "un (?:cordial saludo|abrazo|abraccio)", "cordiali saluti", "distinti saluti", "con affetto", "atenciosamente",
    "cumprimentos", "um abraço", "met (?:vriendelijke|hartelijke) groet(?:en)?", "groet(?:en|jes)?",
    "z (?:poważaniem|wyrazami szacunku)", "pozdrawiam",
    "s (?:pozdravem|pozdravom|úctou|poštovanjem|ljubavlju|spoštovanjem)", "srdačan pozdrav", "lep pozdrav",
    "cu (?:stimă|respect|drag)", "(?:med )?(?:venlig|kærlig|vennlig|vänlig|hjertelig) hilsen",
    "(?:med )?vänlig(?:a)? hälsning(?:ar)?", "hilsen", "hälsningar", "ystävällisin terveisin", "terveisin",
    "με (?:εκτίμηση|αγάπη)", "с уважением", "с (?:любовью|уважение|обич)", "з повагою", "saygılarımla", "sevgiler",
    "lugupidamisega", "ar cieņu", "pagarbiai",
)  # fmt: skip
_SALUTATION = re.compile(rf"\s*(?:{'|'.join(_SALUTATIONS)})\b", re.IGNORECASE)
_CLOSING = re.compile(rf"\s*(?:{'|'.join(_CLOSINGS)})\b", re.IGNORECASE)
_MAX_WORDS = 8  # of such a line


def is_salutation(line: str) -> bool:
    """Tell whether a line seems to greet whom a letter is for."""
    return len(line.split()) in range(2, _MAX_WORDS + 1) and _SALUTATION.match(line) is not None


def is_closing(line: str) -> bool:
    """Tell whether a line seems to end a letter, before the signature."""
    return len(line.split()) <= _MAX_WORDS and _CLOSING.match(line) is not None


MAX_TITLE_CHARACTERS = 500


# Furniture inside articles, by the HTML standard's names and by words that sites put into class names: banners of
# consent, copyright lines, captions. The headline has its own column, `title`.
_PARTS_OF_PAGE = ("html", "body", "main", "article", "section")
_FURNITURE_WORDS = ("caption", "newsletter", "cookie", "consent", "copyright", "popup")
_FURNITURE_MARK = "data-furniture"  # put on parts that are furniture by name: what is told once need not be told again
_MARKED = f"[{_FURNITURE_MARK}]"
_FURNITURE = ["h1", "header", "footer", "figcaption", _MARKED]
# In a longer word too (`cookiebanner`), but not in another word of the same root (`cookieless`, `recaption`).
_NAMES_FURNITURE = re.compile(rf"(?<!\bre)(?:{'|'.join(_FURNITURE_WORDS)})(?!(?:ing|ed|less|ers?)(?![a-z]))")
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
# Banners of consent can be as long: beside a text of some length (_FEW_CHARACTERS) they stay furniture. Where there are
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
_READINGS = ["rt", "rtc", "rp"]  # of ideographs (ruby): they would stand between the letters of a word
# If so little is left, perhaps much of the text stood in the furniture. Where there is little in all, it has none.
_FEW_CHARACTERS, _MIN_SHARE, _MIN_WHOLE = 1000, 0.4, 250
# Names by which the library drops parts (comment, banner, hidden, related) name a thread's posts too, or what stands
# around the whole article. Where so little of a page's prose is left, and there is so much of it, all of it is taken:
# from the first line of prose, which is long and ends a sentence, to the last. Chosen here: 25 of 972 real pages had
# lost theirs, most to the last word; on those of benchmarks/content_quality.py it changes nothing.
_MIN_PROSE_SHARE, _MIN_PROSE, _PROSE_LINE = 0.25, 500, 80
_NO_PROSE = ["nav", "header", "footer", "aside", "form", "button", "select", "figcaption", *_READINGS]
_COMMENTS = ["[id*=comment]", "[class*=comment]"]
# Beside a text of some length the rest can be teasers: there must be more of it, and comments stay out.
_MIN_PROSE_SHARE_OF_LONG = 0.15
_USUAL_PARAGRAPH = 100  # characters
_MIN_ARTICLE_SHARE = 0.5  # of the prose: what is left beside comments is then the page's own
# Short lines before the first sentence and behind the last are headlines, bylines, dates, buttons. A longer end is a
# list that belongs to the text. Chosen on the pages of benchmarks/content_quality.py: they are a weak check of it.
_MAX_HEAD_LINE, _MAX_TAIL_LINE, _MAX_END_SHARE = 80, 50, 0.1
_LIST_INDENT, _MIN_LIST_ITEMS = "  ", 3  # the library indents what stands in a list
# One query for all parts that are looked at: a walk through the page takes a tenth of the time of main content.
_LISTS = ["body>ul", "body>*>ul", "body>*>*>ul"]
# Blocks to browsers that the library takes for parts of a line: their words would be joined with those beside them.
_BLOCKS = ("summary", "legend", "dialog", "menu", "dir", "search")
_MAX_BOXES = 5000  # .1 s
_LOOKED_AT = ",".join([*_LISTS, *_BLOCKS, *(f"[class*={word}]" for word in _FURNITURE_WORDS)])
_MIN_LIST_DEPTH, _CONTROLS = 4, "a, button, input, img, select"  # of a list that is no menu; what menus hold
_MAX_SIGNATURE_LINES = 4  # with the closing line
_SENTENCE_END = re.compile(r"(?<!^)[.!?…。！？｡।؟۔][\"'”’»“‹›「」『』)\]\s]*$")


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
    seeming = _mend(tree)
    text = _extract(tree, settings, [*_READINGS, *_FURNITURE])
    if large := _large(seeming, len(text)):
        for part in large:
            part["class"] = ""
            part.remove_attribute(_FURNITURE_MARK)
        text = _extract(tree, settings, [*_READINGS, *_FURNITURE])
    if len(text) < _FEW_CHARACTERS and _may_stand_in_furniture(tree, len(text)):
        whole = _extract(tree, settings, _READINGS)
        if len(whole) >= _MIN_WHOLE and len(text) < _MIN_SHARE * len(whole):
            text = whole
    if len(text) < _FEW_CHARACTERS:
        text = _all_prose(tree, settings, text) or text
    elif _may_have_lost_paragraphs(tree, len(text)):
        text = _all_prose_but_comments(tree, settings, text) or text
    return _trim_ends(text)


def _all_prose(tree: HTMLTree, settings: ExtractionSettings, text: str) -> str | None:
    """Return the page from its first line of prose to its last; None where `text` has enough of it."""
    skipped = [*_NO_PROSE, _MARKED]
    whole = _extract(tree, settings, skipped, main_content=False)
    if (size := _prose(whole)[0]) < _MIN_PROSE or _prose(text)[0] >= _MIN_PROSE_SHARE * size:
        return None
    article = whole if settings.comments else _extract(tree, settings, [*skipped, *_COMMENTS], main_content=False)
    if _prose(article)[0] < _MIN_ARTICLE_SHARE * size:
        article = whole
    return _from_prose_to_prose(article)


def _all_prose_but_comments(tree: HTMLTree, settings: ExtractionSettings, text: str) -> str | None:
    """Do what _all_prose does, for a text of some length."""
    comments = [] if settings.comments else _COMMENTS
    article = _extract(tree, settings, [*_NO_PROSE, _MARKED, *comments], main_content=False)
    if _prose(text)[0] >= _MIN_PROSE_SHARE_OF_LONG * _prose(article)[0]:
        return None
    return _from_prose_to_prose(article, text.strip().split("\n")[0])


def _may_have_lost_paragraphs(tree: HTMLTree, kept: int) -> bool:
    """Tell cheaply whether the page has so many paragraphs that a text of `kept` characters can be a small share."""
    paragraphs = len(tree.body.get_elements_by_tag_name("p")) if tree.body else 0
    return kept < 2 * _MIN_PROSE_SHARE_OF_LONG * _USUAL_PARAGRAPH * paragraphs


def _from_prose_to_prose(text: str, begin: str | None = None) -> str:
    """Return the lines from the first of prose, or from the line `begin` if that is above it, to the last of prose."""
    _, first, last = _prose(text)
    lines = text.split("\n")
    first = next((number for number, line in enumerate(lines[:first]) if line.strip() == begin), first)
    return "\n".join(lines[first : last + 1])


def _prose(text: str) -> tuple[int, int, int]:
    """Return how many characters the lines of prose have, and the numbers of the first and of the last of them."""
    lines = [line.strip() for line in text.split("\n")]
    prose = [n for n, line in enumerate(lines) if len(line) >= _PROSE_LINE and _SENTENCE_END.search(line)]
    return sum(len(lines[number]) for number in prose), *((prose[0], prose[-1]) if prose else (0, 0))


def _mend(tree: HTMLTree) -> list[ElementNode]:
    """Keep lists and parts that the library would drop; returns the rest of the parts that seem furniture by name.

    It goes by the class, and knows no exceptions: so classes that only seem to name furniture are taken away.
    """
    seeming, boxes = [], 0
    for part in _parts(tree, _LOOKED_AT):
        name = part.getattr("class") or ""
        if part.tag == "ul":
            _deepen_list(tree, part)
        elif part.tag in _BLOCKS and boxes < _MAX_BOXES:
            _put_into_box(tree, part)
            boxes += 1
        if not any(word in name for word in _FURNITURE_WORDS):
            continue
        if _names_content(name):
            part["class"] = ""
        elif part.tag not in _PARTS_OF_PAGE:
            part[_FURNITURE_MARK] = ""
            seeming.append(part)
    return seeming


def _parts(tree: HTMLTree, selector: str) -> Sequence[ElementNode]:
    """Return the parts that match, as a tuple: the library's own list looks each of them up from its start again."""
    return tree.document.query_selector_all(selector)[:] if tree.document else ()


def _deepen_list(tree: HTMLTree, part: ElementNode) -> None:
    """Put a list without links deeper: the library takes those near the root for menus, ingredients of a recipe too."""
    if part.query_selector(_CONTROLS) is not None or len(part.query_selector_all("li")) < _MIN_LIST_ITEMS:
        return
    for _ in range(_MIN_LIST_DEPTH - 1):
        _put_into_box(tree, part)


def _put_into_box(tree: HTMLTree, part: ElementNode) -> None:
    if tree.document is not None and part.parent is not None:
        box = tree.document.create_element("div")
        part.parent.replace_child(box, part)
        box.append_child(part)


def _large(seeming: list[ElementNode], kept: int) -> list[ElementNode]:
    """Return the parts of names under which most of the text stands, given how many characters were kept of the
    rest.
    """
    groups: defaultdict[str, list[ElementNode]] = defaultdict(list)
    for part in seeming:
        groups[" ".join(_WORDS.findall((part.getattr("class") or "").lower()))].append(part)
    large = []
    for name, parts in groups.items():
        names_consent = kept >= _FEW_CHARACTERS and _CONSENT_NAME.search(name) is not None
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
    return sum(
        len(text)
        for text in texts
        if len(text) >= _PROSE_LINE and _SENTENCE_END.search(text) and not _BANNER_TEXT.search(text)
    )


def _may_stand_in_furniture(tree: HTMLTree, kept: int) -> bool:
    lost = sum(len(part.text or "") for part in _parts(tree, ",".join(_FURNITURE)))
    return kept < _MIN_SHARE * (kept + lost)


def _names_content(classes: str) -> bool:
    """Tell whether classes that have a word of furniture in them are nevertheless of what the text is about."""
    if _has_word_of_content(classes):
        return True
    return all(_has_word_of_content(name) for name in classes.split() if _NAMES_FURNITURE.search(name))


def _has_word_of_content(name: str) -> bool:
    words = {word.removesuffix("s") for word in _WORDS.findall(name.lower())}
    return "informed" in words or (bool(words & _CONTENT_WORDS) and not words & _BANNER_WORDS)


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


def _trim_ends(text: str) -> str:
    """Return `text` without short lines before its first sentence and after its last, if they are a small part of it.

    Lists stay, with the line above them, and so do salutations and what closes a letter.
    """
    lines = text.split("\n")
    filled = [number for number, line in enumerate(lines) if line and not line.isspace()]  # a page can be blank lines
    texts = [lines[number] for number in filled]
    start = _end_of_short(texts, _MAX_HEAD_LINE, len(text))
    stop = len(texts) - _end_of_short(texts[start:][::-1], _MAX_TAIL_LINE, len(text))
    start = next((number for number in range(start) if _begins_content(texts, number, start)), start)
    closing = next((number for number in range(stop, len(texts)) if is_closing(texts[number])), None)
    if closing is not None:
        stop = min(closing + _MAX_SIGNATURE_LINES, len(texts))
    return "\n".join(lines[filled[start] : filled[stop - 1] + 1]).strip() if start < stop else ""


def _begins_content(texts: list[str], number: int, stop: int) -> bool:
    """Tell whether a short line above the first sentence greets somebody, or stands above a list."""
    if is_salutation(texts[number]):
        return True
    below = texts[number + 1 : min(number + 1 + _MIN_LIST_ITEMS, stop)]
    is_heading = not texts[number].startswith(_LIST_INDENT)
    return is_heading and len(below) == _MIN_LIST_ITEMS and all(line.startswith(_LIST_INDENT) for line in below)


def _end_of_short(lines: list[str], max_line: int, characters: int) -> int:
    """Tell how many lines may go before the first that is long or ends a sentence; 0 if that is none, or too much."""
    passed = 0
    for number, line in enumerate(lines):
        line = line.strip()
        if len(line) >= max_line or _SENTENCE_END.search(line):
            return number
        passed += len(line)
        if passed > _MAX_END_SHARE * characters:
            return 0
    return 0


def title(tree: HTMLTree) -> str | None:
    return one_line(tree.title or "", MAX_TITLE_CHARACTERS) or None
