"""Tell how letters begin and end, in European languages: lines that are short and yet belong to the text."""

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
