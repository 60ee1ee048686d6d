"""Lines of a page's text: those of prose, which are long and end a sentence, and short ones at its ends.

Ingredients of a recipe are short lines and yet belong to the text, as do those with which letters begin and end; the
words for them are those of European languages.
"""

import re
from html import unescape

from resiliparse.parse.html import ElementNode

from pipelines.pages.letters import LONGEST, end_of_letter, is_salutation

_PROSE_LINE = 80  # characters
# The mark of a footnote or the name of an agency may stand behind it, in brackets.
_SENTENCE_END = re.compile(r"(?<!^)[.!?…。！？｡।؟۔](?:[\"'”’»“‹›「」『』)\]\s]|[\[(][^\[\]()]{1,20}[\])])*$")


def ends_sentence(line: str) -> bool:
    return _SENTENCE_END.search(line) is not None


def is_prose(line: str) -> bool:
    return len(line) >= _PROSE_LINE and ends_sentence(line)


def prose_of(text: str) -> tuple[int, int, int]:
    """Return how many characters the lines of prose have, and the numbers of the first and of the last of them."""
    lines = [line.strip() for line in text.split("\n")]
    prose = [number for number, line in enumerate(lines) if is_prose(line)]
    return sum(len(lines[number]) for number in prose), *((prose[0], prose[-1]) if prose else (0, 0))


# Short lines before the first sentence and behind the last are headlines, bylines, dates, buttons. A longer end is a
# list that belongs to the text. Chosen on the pages of benchmarks/content_quality.py: they are a weak check of it.
_MAX_HEAD_LINE, _MAX_TAIL_LINE, _MAX_END_SHARE = 80, 50, 0.1
_LIST_INDENT, MIN_LIST_ITEMS = "  ", 3  # the library indents what stands in a list


def trim_ends(text: str) -> str:
    """Return `text` without short lines before its first sentence and after its last, if they are a small part of it.

    Lists stay, with the line above them, and so do ingredients, salutations and what closes a letter.
    """
    lines = text.split("\n")
    filled = [number for number, line in enumerate(lines) if line and not line.isspace()]  # a page can be blank lines
    texts = [lines[number] for number in filled]
    start = _end_of_short(texts, _MAX_HEAD_LINE, len(text))
    stop = len(texts) - _end_of_short(texts[start:][::-1], _MAX_TAIL_LINE, len(text))
    start = next((number for number in range(start) if _begins_content(texts, number, start)), start)
    if (ingredients := begin_of_ingredients(texts, start)) is not None:
        start = ingredients
    stop = max(stop, end_of_ingredients(texts, start, stop), end_of_letter(texts, start, stop))
    return "\n".join(lines[filled[start] : filled[stop - 1] + 1]).strip() if start < stop else ""


def _begins_content(texts: list[str], number: int, stop: int) -> bool:
    """Tell whether a short line above the first sentence greets somebody, or stands above a list."""
    if is_salutation(texts[number], stands_above_text=number == stop - 1):
        return True
    below = texts[number + 1 : min(number + 1 + MIN_LIST_ITEMS, stop)]
    is_heading = not texts[number].startswith(_LIST_INDENT)
    return is_heading and len(below) == MIN_LIST_ITEMS and all(line.startswith(_LIST_INDENT) for line in below)


def _end_of_short(lines: list[str], max_line: int, characters: int) -> int:
    """Tell how many lines may go before the first that is long or ends a sentence; 0 if that is none, or too much."""
    passed = 0
    for number, line in enumerate(lines):
        line = line.strip()
        if len(line) >= max_line or ends_sentence(line):
            return number
        passed += len(line)
        if passed > _MAX_END_SHARE * characters:
            return 0
    return 0


# Words for ingredients in European languages, as headings. Chosen here; no list is complete.
_HEADINGS = (
    "ingredients", "hozzávalók", "zutaten", "ingrédients", "ingredient(?:e|es|i|er|s)", "składniki", "ingrediënten",
    "přísady", "suroviny", "ingrediencie", "sastojci", "sestavine", "përbërësit", "malzemeler", "υλικά", "ингредиенты",
    "інгредієнти", "інгредыенты", "састојци", "состојки", "ainekset", "ainesosat", "koostisosad", "koostisained",
    "sastāvdaļas", "sudedamosios dalys", "ingrediensar", "osagaiak", "cynhwysion", "comhábhair",
)  # fmt: skip
_HEADING = re.compile(rf"\s*(?:{'|'.join(_HEADINGS)})\b", re.IGNORECASE)
_MAX_HEADING_WORDS = 5  # with for whom, for how many
_QUANTITY = re.compile(
    r"\s*(?:[-–•▢□☐*]\s*)?(?!(?:19|20)\d\d\b|\d+[.)]\s)"  # no year, nor the number of a step
    r"(?:\d[\d.,/ –-]*|[¼½¾⅓⅔⅛])[¼½¾⅓⅔⅛]?\s*[^\W\d_]"  # 200 g flour
    r"|.*[^\W\d_)][\s:–-]+\d[\d.,/]*\s?[^\W\d_]{1,4}\.?\s*$"  # flour - 200 g
)
# One of them at least is measured: `12 comments`, `3 min read` and `4 eggs` look alike. Units and spoons of European
# languages; chosen here, no list is complete.
_UNITS = (
    "k?g", "gr", "dkg", "dag", "m?l", "c[lc]", "dc?l", "cups?", "tbsp", "tsp", "(?:table|tea)?spoons?", "oz", "lbs?",
    "(?-i:EL|TL|el|tl)", "prisen?", "stk", "ek", "tk", "kk", "evőkanál", "teáskanál", "csésze", "csipet", "bögre", "cs",
    "cuill", "cuillères?", "pincée", "verres?", "cucchiai[ao]?", "cucchiaini?", "bicchieri?", "cucharad(?:it)?as?",
    "tazas?", "pizca", "colher(?:es)?", "xícaras?", "eetlepels?", "theelepels?", r"łyż\w+", r"szkl\w*",
    r"(?:lž|lyž)[ií]\w*", r"žli[cč]\w*", r"kašik\w*", "linguri?", "lingurițe?", "msk", "tsk",
    "krm", "spsk", "ss", "ts", "rkl", "spl", "г",
    "гр", "кг", "мл", "л", r"(?:ст|ч)\. ?л", r"ложк\w*", r"стакан\w*", r"щепотк\w*", "γρ", r"κ\. ?[σγ]", r"κουταλ\w*",
    "su bardağı", "çay bardağı", "yemek kaşığı", "tatlı kaşığı", "ēd", r"v\.š", r"a\.š", "tēj",
)  # fmt: skip
_MEASURED = re.compile(rf"[\d½¼¾⅓⅔⅛]\s*(?:{'|'.join(_UNITS)})(?![^\W_]|['’])", re.IGNORECASE)
_MIN_QUANTITIES, _AMONG = 3, 5  # lines
_MAX_WITHOUT_QUANTITY, _MAX_LAST = 20, 2  # lines below a heading, and below the last one with a quantity
_MAX_LINE = 80  # characters
_LINE_ENDS = {
    "br", "div", "li", "ol", "ul", "p", "dl", "dt", "tr", "label", "h1", "h2", "h3", "h4", "h5", "h6", "section",
    "article", "header", "pre",
}  # fmt: skip


def is_quantity(line: str) -> bool:
    """Tell whether a line seems to say how much of something is taken."""
    return len(line) <= _MAX_LINE and _QUANTITY.match(line) is not None


def names_ingredients(line: str) -> bool:
    """Tell whether a line is a heading of ingredients."""
    return len(line) <= LONGEST and _HEADING.match(line) is not None and len(line.split()) <= _MAX_HEADING_WORDS


def begin_of_ingredients(lines: list[str], stop: int) -> int | None:
    """Return the number, below `stop`, of the line above the first ingredients, or of these; None if there are none."""
    heading = next((number for number, line in enumerate(lines[:stop]) if names_ingredients(line)), None)
    if heading is not None:
        return heading
    # What seems to end a sentence can be an ingredient too: `2 Stk.`
    first = first_ingredients(lines[: stop + _AMONG])
    begin = stop if first is None else max(first - 1, 0)
    return begin if begin < stop else None


def end_of_ingredients(lines: list[str], start: int, stop: int) -> int:
    """Return the number of the line behind ingredients that stand below the text, which ends before `stop`, with those
    that have no quantity; `stop` where there are none.
    """
    heading = next((number for number in range(stop, len(lines)) if names_ingredients(lines[number])), None)
    if heading is not None:
        return _end_of_list(lines, heading + 1, _MAX_WITHOUT_QUANTITY)
    behind = max(start, stop - _AMONG)  # what seems to end a sentence can be an ingredient too
    if (first := first_ingredients(lines[behind:])) is None:
        return stop
    last = behind + first
    for number in range(last, len(lines)):
        if number - last >= _AMONG:
            break
        last = number if is_quantity(lines[number]) else last
    return max(stop, _end_of_list(lines, last + 1, _MAX_LAST))


def _end_of_list(lines: list[str], number: int, most: int) -> int:
    """Return where the list ends that goes on at a line: with its last item, or after so many lines."""
    end = min(number + most, len(lines))
    if lines[number : number + 1] and lines[number].startswith(_LIST_INDENT):
        return next((place for place in range(number, end) if not lines[place].startswith(_LIST_INDENT)), end)
    return end


def first_ingredients(lines: list[str]) -> int | None:
    """Return the number of the first of lines that say how much of something is taken; None if there are too few."""
    found = [number for number, line in enumerate(lines) if is_quantity(line)]
    begins = zip(found, found[_MIN_QUANTITIES - 1 :], strict=False)
    return next((first for first, last in begins if _are_ingredients(lines[first : last + 1])), None)


def _are_ingredients(lines: list[str]) -> bool:
    return len(lines) <= _AMONG and any(is_quantity(line) and _MEASURED.search(line) for line in lines)


def lines_of(part: ElementNode) -> list[str]:
    """Return the filled lines of a part about as they are shown: the beginnings and ends of blocks end them, and line
    breaks. What stands behind its name (`<dt>`) is on one line with it.
    """
    html = part.html if part.query_selector("pre") else part.html.replace("\n", " ")
    shown = []
    for piece in html.split("<"):
        tag, _, text = piece.partition(">")
        ends_line = tag != "/dt" and tag.removeprefix("/").split(" ", 1)[0] in _LINE_ENDS
        shown += ["\n" if ends_line else " ", text]
    return [line for line in unescape("".join(shown)).split("\n") if line and not line.isspace()]
