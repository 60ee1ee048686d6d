"""Lines of a page's text: those of prose, which are long and end a sentence, and short ones at its ends.

Ingredients of a recipe, and how letters begin and end, are short lines and yet belong to the text; the words for them
are those of European languages.
"""

import re

_PROSE_LINE = 80  # characters
_SENTENCE_END = re.compile(r"(?<!^)[.!?…。！？｡।؟۔][\"'”’»“‹›「」『』)\]\s]*$")


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
_MAX_SIGNATURE_LINES = 4  # with the closing line


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
    closing = next((number for number in range(stop, len(texts)) if is_closing(texts[number])), None)
    if closing is not None:
        stop = min(closing + _MAX_SIGNATURE_LINES, len(texts))
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


def names_ingredients(line: str) -> bool:
    """Tell whether a line is a heading of ingredients."""
    return _HEADING.match(line) is not None and len(line.split()) <= _MAX_HEADING_WORDS


def begin_of_ingredients(lines: list[str], stop: int) -> int | None:
    """Return the number, below `stop`, of the line above the first ingredients, or of these; None if there are none."""
    heading = next((number for number, line in enumerate(lines[:stop]) if names_ingredients(line)), None)
    if heading is not None:
        return heading
    # What seems to end a sentence can be an ingredient too: `2 Stk.`
    first = first_ingredients(lines[: stop + _AMONG])
    begin = stop if first is None else max(first - 1, 0)
    return begin if begin < stop else None


def first_ingredients(lines: list[str]) -> int | None:
    """Return the number of the first of lines that say how much of something is taken; None if there are too few."""
    found = [number for number, line in enumerate(lines) if is_quantity(line)]
    begins = zip(found, found[_MIN_QUANTITIES - 1 :], strict=False)
    return next((first for first, last in begins if _are_ingredients(lines[first : last + 1])), None)


def _are_ingredients(lines: list[str]) -> bool:
    return len(lines) <= _AMONG and any(is_quantity(line) and _MEASURED.search(line) for line in lines)


# First words of the line above the first sentence, and of the line below the last. Chosen here, from letter-writing
# guides of each language; no list is complete.
_SALUTATIONS = (
    "dear", "hello", "hi", "kedves", "drága", "tisztelt", "lieber?", "liebes?", "sehr geehrter?", "hallo", "cher",
    "chère", "chers", "chères", "bonjour", "estimad[oa]s?", "querid[oa]s?", "hola", "car[oaie]", "gentile",
    "egregi[oa]", "prezad[oa]s?", "car[oa]s", "beste", "geachte", "drog[ia]", "szanown[aiy]e?", "mil[ýáí]",
    "vážen[ýáí]", "drah[ýáí]", "drag[iaeă]", "poštovan[iaeo]", "spoštovan[iae]", "stimat[eă]?", "kære", "kjære",
    "käre", "kära", "bästa", "hyvä", "hei", "rakas", "arvoisa", "αγαπητ[έήοό]ί?", "уважаем[ыа][йея]",
    "дорог[оа][йея]", "скъп[иа]", "шановн[иа][йі]", "дорог[иа]й?", "sayın", "sevgili", "kallis", "lugupeetud",
    "mīļ[aā]is", "miel[aą]s", "gerb", "to whom it may concern", "(?:ladies|gentlemen)(?= and )", "my dear",
    "good (?:morning|afternoon|evening)", "hey", "szia", "sziasztok", "szervusz", "guten (?:tag|morgen|abend)",
    "werter?", "meine? lieber?", "madame, monsieur", "mesdames, messieurs",
    "m(?:on|a|es) ch(?:er|ère)s?", "ahoj", "kochan[aiy]e?", "bună",
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
    "lugupidamisega", "ar cieņu", "pagarbiai", r"(?:many |with )?(?:regards|thanks|cheers|love)(?=\W*$)",
    r"(?:respectfully|warmly)(?=\W*$)", "baráti üdvözlettel", "szívélyes üdvözlettel", "maradok tisztelettel",
    r"(?:minden jót|puszi|köszönettel)(?=\W*$)", "mit (?:freundlichem|bestem|herzlichem|liebem) gruß",
    "freundliche grüße", r"(?:herzlichst|mfg)(?=\W*$)", "bien cordialement", "sincères salutations",
    r"amitiés(?=\W*$)", "je vous embrasse", r"srdečně(?=\W*$)", "s přátelským pozdravem", "lijep pozdrav",
    "serdecznie pozdrawiam", r"mvh(?=\W*$)", "kærlig hilsen", "un (?:saludo|fuerte abrazo|caro saluto)",
    "toate cele bune", r"(?:take care|pozdrav)(?=\W*$)",
)  # fmt: skip
_SALUTATION = re.compile(rf"\s*(?:{'|'.join(_SALUTATIONS)})\b", re.IGNORECASE)
_CLOSING = re.compile(rf"\s*(?:{'|'.join(_CLOSINGS)})\b", re.IGNORECASE)
_MAX_WORDS = 8  # of such a line
_ADDRESS = re.compile(r"\s*(?:[^\W\d][^\s,，،]*[ \xa0]){0,4}[^\W\d][^\s,，،]*[,，،]\s*")


def is_salutation(line: str, stands_above_text: bool) -> bool:
    """Tell whether a line seems to greet whom a letter is for: in any language by the comma at its end, where it stands
    right above the text.
    """
    if stands_above_text and _ADDRESS.fullmatch(line):
        return True
    return len(line.split()) in range(2, _MAX_WORDS + 1) and _SALUTATION.match(line) is not None


def is_closing(line: str) -> bool:
    """Tell whether a line seems to end a letter, before the signature."""
    return len(line.split()) <= _MAX_WORDS and _CLOSING.match(line) is not None
