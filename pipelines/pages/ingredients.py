"""How lists of ingredients begin: lines that are short and yet belong to the text, however they are set."""

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
    begin = next((max(first - 1, 0) for first, last in begins if last - first < _AMONG), stop)
    return begin if begin < stop else None
