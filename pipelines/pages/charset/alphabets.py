"""Measures how well a text fits the alphabet of one language, which tells a wrong charset where every byte is a letter.

Letters after the main and auxiliary exemplar characters of Unicode CLDR (https://cldr.unicode.org). Of Chinese and
Japanese the characters of the standards' first levels, which hold nearly all of any text.
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cache

# Letters that are not ASCII, in lower case.
_LATIN = {
    "hun": "áéíóöőúüű", "pol": "ąćęłńóśźż", "ces": "áčďéěíňóřšťúůýž", "slk": "áäčďéíĺľňóôŕšťúýž",
    "hrv": "čćđšž", "ron": "ăâîșțşţ", "sqi": "çë", "tur": "çğıi̇öşüâîû", "kur": "çêîşû", "lit": "ąčęėįšųūž",
    "lav": "āčēģīķļņōŗšūž", "est": "äõöüšž", "fin": "äöåšž", "swe": "äöåéàü", "dan": "æøåéèêóòôöäü",
    "isl": "áéíóúýðþæö", "fao": "áíóúýðæø", "deu": "äöüßéàè", "fra": "àâæçéèêëîïôœùûüÿñ", "ita": "àèéìíîòóùú",
    "spa": "áéíñóúüç", "por": "àáâãçéêíóôõúüñ", "cat": "àçéèíïóòúüñ", "nld": "áäéëíïóöúüèêàçñ", "gle": "áéíóú",
    "gla": "àèéìòóù", "cym": "âêîôûŵŷäëïöüàèìòùáéíóú", "mlt": "ċġħżàèìòù", "epo": "ĉĝĥĵŝŭ",
    "vie": "ăâđêôơưàáãèéìíòóõùúý\u0300\u0301\u0303\u0309\u0323",
}  # fmt: skip
_OTHER = {
    # Of all languages: texts quote each other's, and another charset shows itself by capitals inside words.
    "cyrillic": "абвгдежзийклмнопрстуфхцчшщъыьэюяёєіїґўђјљњћџѓѕќѐѝ",
    "ell": "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ",
    "heb": "".join(map(chr, (*range(0x5B0, 0x5C3), *range(0x5D0, 0x5EB)))),
    "ara": "".join(map(chr, range(0x621, 0x653))),
    "fas": "".join(map(chr, range(0x621, 0x653))) + "پچژگکیۀ",
    "urd": "".join(map(chr, range(0x621, 0x653))) + "پچژگکیٹڈڑںھہےۓ",
    "tha": "".join(map(chr, (*range(0xE01, 0xE3B), *range(0xE40, 0xE4F)))),
}
# Half or more of the letters of a text in any language written in Cyrillic: .48 at least (Mongolian), .65 in Russian,
# .78 at most (Macedonian); of text in KOI8 read as windows-1251, or the other way, .44 at most, whatever its case. 20
# texts each in ten languages, messages of GNU's gettext catalogues.
_OFTEN_CYRILLIC = "оаеинтрсвлі"
# Rows of a standard's table, as codec and lead bytes: levels 1 of JIS X 0208, KS X 1001 (all its syllables), GB 2312
# and Big5, in which characters that are often used come first.
_ROWS = {
    "jpn": ("euc_jp", (0xA4, 0xA5, *range(0xB0, 0xD0))),
    "kor": ("euc_kr", range(0xB0, 0xC9)),
    "zho_simplified": ("gb2312", range(0xB0, 0xD8)),
    "zho_traditional": ("big5", range(0xA4, 0xC7)),
}
_JAPANESE_MARKS = "々〆ヶー〇"

_NOT_ASCII = re.compile("[^\x00-\x7f]")
_SCRIPTS = "\u0370-\u037d\u0388-\u0559\u0561-\u0587\u05d0-\u05ea\u0620-\u0669\u066e-\u06d3\u0e01-\u0e4e"
_MIXED = re.compile(f"[{_SCRIPTS}](?=[A-Za-z])|(?<=[A-Za-z])[{_SCRIPTS}]")
# And the letter that ends Greek words. Irish puts h, n and t before capitals.
_CAPITAL_INSIDE = re.compile(
    "(?<=[а-џ])[Ѐ-Я]|(?<=[ά-ώ])[Ά-Ϋ]|ς(?=[ά-ώ])|(?<=[a-gi-mo-su-zß-ÿ])[À-ÖØ-ÞĂĄĆČĎĐĘĚĞĮİŁŃŇŐŘŚŞŠŢŤŪŮŰŹŻŽ]"
)
# No letter nor what may stand in a word: `s³owo`, `naprawdê¿e`; nor at its end: `s±`. Ordinals and superscripts end
# words.
_SYMBOL_INSIDE = re.compile(
    "(?<=[^\\W\\d_])[\xa1-\xac\xae-\xb3\xb5\xb6\xb8-\xba\xbc-\xbf\xd7\xf7\u201a\u201e\u2039\u203a\u2020-\u2022\u2030\u20ac\u2122\u2200-\u22ff](?=[^\\W\\d_])"
    "|(?<=[a-zß-ÿ])[±¶]"
)
# Signs above and below a letter where there is none: in Thai at a word's start and behind a vowel that stands on its
# own, points of Hebrew and Arabic behind a letter of another script.
_SIGN_ON_NOTHING = re.compile(
    "(?<![\u0e01-\u0e2e\u0e31\u0e34-\u0e3a\u0e47-\u0e4e])[\u0e31\u0e34-\u0e3a\u0e47-\u0e4e]"
    "|(?<![\u05b0-\u05c4\u05d0-\u05f2])[\u05b0-\u05c4]|(?<![\u0620-\u0652\u0671-\u06d5])[\u064b-\u0652]"
)
_BROKEN = re.compile("[\x80-\x84\x86-\x9f\u2500-\u259f\ufffd\ue000-\uf8ff]")  # U+0085 ends lines

_SIGNS_OF_MOJIBAKE = (_MIXED, _CAPITAL_INSIDE, _SYMBOL_INSIDE, _SIGN_ON_NOTHING, _BROKEN)


@dataclass(frozen=True, slots=True)
class Misfit:
    """Shares of a text beyond ASCII: in no word of any language, and not in words of the best one."""

    broken: int  # symbols and capitals inside words, words of two scripts, what has no character
    foreign: int  # letters that the language which fits best does not have
    characters: int  # that are not ASCII

    @property
    def share(self) -> float:
        return (self.broken + self.foreign) / max(self.characters, 1)


def misfit(text: str) -> Misfit:
    """Hold a text against each alphabet; `foreign` is that of the best."""
    counts, all_counts = Counter[str](), Counter(_NOT_ASCII.findall(text))
    for character, count in all_counts.items():
        if unicodedata.category(character)[0] in "LM" and character not in "ªº":
            counts[character.lower()] += count
    broken = sum(len(pattern.findall(text)) for pattern in _SIGNS_OF_MOJIBAKE)
    known = max(sum(count for character, count in counts.items() if character in alphabet) for alphabet in _alphabets())
    return Misfit(broken, counts.total() - known, all_counts.total())


def in_any_alphabet(letter: str) -> bool:
    return letter in "ªº" or any(letter.lower() in alphabet for alphabet in _alphabets())


def often_cyrillic(text: str) -> tuple[int, float]:
    """Count the Cyrillic letters, and the share of those among them that all languages in Cyrillic have often."""
    counts = Counter(text.lower())
    letters = sum(counts[letter] for letter in _OTHER["cyrillic"])
    return letters, sum(counts[letter] for letter in _OFTEN_CYRILLIC) / max(letters, 1)


@cache
def _alphabets() -> tuple[frozenset[str], ...]:
    tables = [frozenset(letters) for letters in (*_LATIN.values(), *_OTHER.values())]
    for name, (codec, leads) in _ROWS.items():
        trails = range(0x40, 0xFF) if codec == "big5" else range(0xA1, 0xFF)
        row = "".join(bytes([lead, trail]).decode(codec, "ignore") for lead in leads for trail in trails)
        tables.append(frozenset(row + (_JAPANESE_MARKS if name == "jpn" else "")))
    return tuple(tables)
