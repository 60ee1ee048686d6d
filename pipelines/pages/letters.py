"""How letters begin and end, in European languages: lines that are short and yet belong to the text."""

import re

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
