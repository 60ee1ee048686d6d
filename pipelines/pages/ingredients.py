"""Find where lists of ingredients begin: lines that are short and yet belong to the text, however they are set."""

import re

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
    "el", "tl", "prisen?", "stk", "ek", "tk", "kk", "evőkanál", "teáskanál", "csésze", "csipet", "bögre", "cs",
    "cuill", "cuillères?", "pincée", "verres?", "cucchiai[ao]?", "cucchiaini?", "bicchieri?", "cucharad(?:it)?as?",
    "tazas?", "pizca", "colher(?:es)?", "xícaras?", "eetlepels?", "theelepels?", r"łyż\w+", r"szkl\w*",
    r"(?:lž|lyž)[ií]\w*", r"žli[cč]\w*", r"kašik\w*", "linguri?", "lingurițe?", "msk", "tsk",
    "krm", "spsk", "ss", "ts", "rkl", "spl", "г",
    "гр", "кг", "мл", "л", r"(?:ст|ч)\. ?л", r"ложк\w*", r"стакан\w*", r"щепотк\w*", "γρ", r"κ\. ?[σγ]", r"κουταλ\w*",
    "su bardağı", "çay bardağı", "yemek kaşığı", "tatlı kaşığı", "ēd", r"v\.š", r"a\.š", "tēj",
)  # fmt: skip
_MEASURED = re.compile(rf"[\d½¼¾⅓⅔⅛]\s*(?:{'|'.join(_UNITS)})(?![^\W_])", re.IGNORECASE)
_MIN_QUANTITIES, _AMONG = 3, 5  # lines
_MAX_LINE = 80  # characters


def is_quantity(line: str) -> bool:
    """Tell whether a line seems to say how much of something is taken."""
    return len(line) <= _MAX_LINE and _QUANTITY.match(line) is not None


def begin_of_ingredients(lines: list[str], stop: int) -> int | None:
    """Return the number, below `stop`, of the line above the first ingredients, or of these; None if there are none."""
    for number, line in enumerate(lines[:stop]):
        if _HEADING.match(line) and len(line.split()) <= _MAX_HEADING_WORDS:
            return number
    # What seems to end a sentence can be an ingredient too: `2 Stk.`
    found = [number for number, line in enumerate(lines[: stop + _AMONG]) if is_quantity(line)]
    begins = zip(found, found[_MIN_QUANTITIES - 1 :], strict=False)
    begin = next((max(first - 1, 0) for first, last in begins if _are_ingredients(lines[first : last + 1])), stop)
    return begin if begin < stop else None


def _are_ingredients(lines: list[str]) -> bool:
    return len(lines) <= _AMONG and any(is_quantity(line) and _MEASURED.search(line) for line in lines)
