"""Tells how letters begin and end, by words of European languages, and in any by their commas and names."""

import re

LONGEST = 200  # characters of a line that is looked at: a page can be one line of megabytes
_MAX_SIGNATURE_LINES, _MAX_SIGNATURE = 4, 50  # with the closing line; characters of a line
_MAX_BETWEEN = 2  # lines between the last sentence and the closing
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
    "m(?:on|a|es) ch(?:er|ère)s?", "ahoj", "kochan[aiy]e?", "bună", r"muy señor(?:a|es|as)?\b", "distinguid[oa]s?",
    "señor(?:es|as?)?", "apreciad[oa]s?", "benvolgu(?:t|da)s?", "olá", "bom dia", "buenos días", "buongiorno", "ciao",
    "goede(?:morgen|middag)", "verehrte[rs]?", "sehr verehrte[rs]?", "здравствуй(?:те)?", "добрый день", "cześć",
    "witam", "dzień dobry", "dobrý de[nň]", "labdien", "sveiki", "merhaba", "annwyl", "a chara", "kaixo",
)  # fmt: skip
# Words that stand anywhere in a short line of this kind: `Kindest regards`, `Viele liebe Grüße aus Bonn`.
_CLOSINGS = (
    "regards", "wishes", "sincerely", "faithfully", "respectfully", "cordially", "cheers", "hugs", "kisses",
    r"(?:love|thanks)(?=\W*$|, )", r"(?:yours(?: \w+)?|warmly|take care)(?=\W*$)",
    "gr(?:u(?:ß|ss)|ü(?:ß|ss)e)(?:e?n)?", "hochachtungsvoll", "herzlichst", "mfg",
    "salutations", "cordialement", "respectueusement", "amicalement", "amitiés", "bises", "bisous",
    "bien à (?:vous|toi)", "je (?:vous|t')? ?embrasse", "besos?", "besitos", "abra(?:z|ç|ci|cci)os?", "saludos?",
    "saúdos", "atentamente",
    "cordialmente", "afectuosamente", "cariños", "beij(?:os?|inhos)", "cumprimentos", "saudações", "atenciosamente",
    "saluti", "baci", "con affetto", "abbracc[io]o?", "groet(?:en|jes)?", "hoogachtend", "liefs",
    r"pozdraw\w+", r"pozdrowieni\w+", "poważaniem", r"szacunk\w+", "uściski", "buziaki", "całusy",
    r"pozdrav\w*", "úctou", "srdečn[ěe]", "poštovanjem", "spoštovanjem", "ljubavlju", "srdačno",
    r"üdvözlet\w*", "üdv", "tisztelettel", "szeretettel", "köszönettel", "barátsággal", r"puszi\w*", r"ölel\w*",
    "minden jót",
    "cu (?:stimă|respect|drag)", "toate cele bune", "salutări", "îmbrățișări", "hilsen(?:er)?", "knus", "klem", "mvh",
    "vänligen", "venligst", "hälsning(?:ar)?", "kram(?:ar)?", "terveisin", "terveiset", "halauksin",
    "ystävällisesti", "lugupidamisega",
    r"tervitus\w*", "ar cieņu", "sveicieniem", "pagarbiai", "linkėjimais", "με (?:εκτίμηση|αγάπη)", "φιλικά", "φιλιά",
    r"χαιρετισμ\w+", "уважение[м]?", "с (?:любовью|обич|приветом)", "пожеланиями", "целую", "обнимаю", "искренне ваш",
    "всего (?:доброго|хорошего|наилучшего|найкращого)", "повагою", "побажаннями", "обіймаю", r"поздрав\w*",
    r"saygılar\w*", r"sevgiler\w*", r"selamlar\w*", "respekt", r"përshëndetje\w*", "le meas", "cofion", "agur bat",
    r"besarkada\w*", "salutacions", "atentament", "petons", "abraçada", r"kveðj\w+",
    r"(?:all )?(?:my |the )?best(?=\W*$)", r"(?:ihre?|eu(?:er|re)|deine?)(?=\W*$)",
)  # fmt: skip
_ABBREVIATED = re.compile(r"(?:LG|VG|BG|MfG|GLG|HG|XOXO|xoxo|x{2,4})[,.!]*(?:[ \xa0]+[^\W\d_][\w.-]*){0,2}\s*")
_SALUTATION = re.compile(rf"\s*(?:{'|'.join(_SALUTATIONS)})\b", re.IGNORECASE)
_CLOSING = re.compile(rf"(?<!\w)(?:{'|'.join(_CLOSINGS)})(?!\w)", re.IGNORECASE)
# After these nothing but a name is taken for the signature: readers are thanked, and songs are of love.
_WEAK_CLOSING = re.compile(r".*!\s*|\s*(?:\w+ )*(?:thanks|love|cheers|hugs|kisses|best)\W*(?<!,)\s*", re.IGNORECASE)
# Words of the lines below an article, in European languages: in any such line, and as all of it. No list is complete.
_FOOTERS = (
    "impressum", "imprint", r"privacy", r"datenschutz\w*", r"adatvéd\w+", "confidentialité", "privacidad(?:e)?",
    r"prywatnoś\w+", "personvern", "privatliv", r"integritetspolicy", "tietosuoja", r"конфиденциал\w+", "cookies?",
    "copyright", "all rights", "newsletter", "hírlevél", "sitemap", "mentions légales", "aviso legal", "note legali",
    r"nutzungsbedingungen", "terms (?:of|and|&)", "terms", "disclaimer", "agb", "log ?in", "log ?out", "sign (?:in|up)",
    "subscribe", "abonnieren", "s'abonner", r"suscr[ií]\w+", r"feliratkoz\w+", "facebook", "twitter", "instagram",
    "linkedin", "youtube", "whatsapp", "pinterest", "share (?:this|on|via|with)", r"megoszt\w+", "read (?:more|next)",
    "leave a (?:comment|reply)", "comments?", r"kommentare?n?", r"commentaires?", r"comentarios?", r"hozzászól\w+",
    r"комментар\w+", "back to", "related (?:posts?|articles?|stories)", "contact us", "about us", "über uns",
    "qui sommes-nous", "quiénes somos", "chi siamo", "o nas", "om oss", "о нас", "kapcsolat", "контакты", "follow us",
    "latest (?:news|posts?)", "more (?:news|stories|posts?|from)", "site map", "all posts", "advertise(?: with us)?",
    "powered by", "posted (?:in|by|on)", "filed under", "sponsored", "weiterlesen", "lire (?:aussi|la suite)",
)  # fmt: skip
_WHOLE_FOOTERS = (
    "home(?:page)?", "startseite", "accueil", "inicio", "início", "főoldal", "kezdőlap", r"strona główna", "hjem",
    "hem", "etusivu", "forside", "domů", "главная", "contact", r"kontakte?", "contacto?", "contatti", "yhteystiedot",
    "about", "blog", "news", "shop", "store", "press", "presse", "jobs", "careers?", "karriere", "faq", "help", "hilfe",
    "search", "suche", "keresés", "menu", "menü", "top", "next(?: (?:page|post|article))?", "more", "mehr",
    "prev(?:ious)?(?: (?:page|post|article))?", "back", "zurück", "weiter", "share", "teilen", "partager", "compartir",
    "condividi", "del", "dela", "udostępnij", "поделиться", "print", "drucken", "imprimer", "imprimir", "nyomtatás",
    "reply", "antworten", "e-?mail", "rss", "tags?", "categor(?:y|ies)", "kategorien?", "archives?", "archiv", "legal",
    "links?", "products?", "services?", "events?", "gallery", "galerie", "sports?", "politics", "business", "world",
    "support", "download", "partners?", "sponsors?", "accessibility", "language", "deutsch", "english", "français",
    "español", "magyar", "polski", "italiano",
)  # fmt: skip
_FOOTER = re.compile(rf"(?<!\w)(?:{'|'.join(_FOOTERS)})(?!\w)|[©|»›]", re.IGNORECASE)
_WHOLE_FOOTER = re.compile(rf"\W*(?:{'|'.join(_WHOLE_FOOTERS)})\W*", re.IGNORECASE)
_MAX_WORDS, _MAX_CLOSING_WORDS, _MAX_NAME_WORDS = 8, 6, 4  # of such lines
_DIGIT = re.compile(r"\d")
_PARTICLES = (  # of names
    "a", "af", "av", "da", "das", "de", "del", "della", "den", "der", "di", "do", "dos", "du", "e", "et", "i", "la",
    "le", "och", "og", "ter", "til", "und", "van", "von", "y", "zu",
)  # fmt: skip
_ADDRESS = re.compile(r"\s*(?:[^\W\d][^\s,，،]*[ \xa0]){0,4}[^\W\d][^\s,，،]*[,，،]\s*")


def is_salutation(line: str, stands_above_text: bool) -> bool:
    """Tell whether a line seems to greet whom a letter is for: in any language by the comma at its end, where it stands
    right above the text.
    """
    if len(line) > LONGEST:
        return False
    if stands_above_text and _ADDRESS.fullmatch(line):
        return True
    return len(line.split()) in range(2, _MAX_WORDS + 1) and _SALUTATION.match(line) is not None


def end_of_letter(lines: list[str], start: int, stop: int) -> int:
    """Return the number of the line behind what closes a letter and its signature, below the text, which begins at
    `start` and ends before `stop`; `stop` if there is none.
    """
    # The last sentence can be it: `Viele Grüße!`
    numbers = range(max(start, stop - 1), min(stop + _MAX_BETWEEN + 1, len(lines)))
    closing = next((number for number in numbers if _is_closing(lines[number])), None)
    if closing is None and stop < len(lines) <= stop + _MAX_SIGNATURE_LINES:
        greets = is_salutation(lines[start], stands_above_text=True)
        closing = stop if _closes(lines[stop], lines[stop + 1 :], greets) else None
    if closing is None or any(map(_is_of_footer, lines[stop : closing + 1])):
        return stop
    is_weak = _WEAK_CLOSING.fullmatch(lines[closing]) is not None
    may_sign, most = (_is_name, 1) if is_weak else (_is_signature, _MAX_SIGNATURE_LINES - 1)
    end = closing + 1
    while end < min(closing + 1 + most, len(lines)) and may_sign(lines[end]):
        end += 1
    return end


def _is_closing(line: str) -> bool:
    """Tell whether a line seems to end a letter, before the signature."""
    if len(line) > LONGEST:
        return False
    return len(line.split()) <= _MAX_CLOSING_WORDS and not _DIGIT.search(line) and _CLOSING.search(line) is not None


def _closes(line: str, below: list[str], greets: bool) -> bool:
    """Tell whether a line right below the text closes a letter without any of the words: by its comma, above a name.

    What may be a name or a place itself (`Berlin,`) does so below a text that greets somebody.
    """
    if len(line) > LONGEST:
        return False
    if _ABBREVIATED.fullmatch(line):
        return True
    if _ADDRESS.fullmatch(line) is None or not below or not _is_name(below[0]):
        return False
    return greets or not _is_name(line)


def _is_name(line: str) -> bool:
    """Tell whether a line seems to be a signature."""
    if len(line) > LONGEST:
        return False
    words = line.split()
    is_short = len(words) <= _MAX_NAME_WORDS and not words[0][0].islower() and not _DIGIT.search(line)
    return (
        is_short
        and all(word.lower() in _PARTICLES or not word[0].islower() for word in words)
        and not _is_of_footer(line)
    )


def _is_signature(line: str) -> bool:
    """Tell whether a line below a closing seems to say who wrote: a name, what he or she is, or where."""
    words = line.split()
    if len(line) > _MAX_SIGNATURE or len(words) > _MAX_CLOSING_WORDS or _DIGIT.search(line):
        return False
    return (len(words) == 1 or not words[0][0].islower()) and not _is_of_footer(line)


def _is_of_footer(line: str) -> bool:
    """Tell whether a short line is one of those that stand below texts on many sites: `Impressum`, `Share this`."""
    return len(line) <= LONGEST and (_FOOTER.search(line) or _WHOLE_FOOTER.fullmatch(line)) is not None
