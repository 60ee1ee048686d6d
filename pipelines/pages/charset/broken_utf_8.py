"""Pages that are UTF-8 but for some broken bytes: half a letter that was cut, a quotation mark that was pasted in.

Two bytes of another charset are a letter in UTF-8 next to never, so that a few such letters tell more than as many
bytes that are none, or half as many where the page declares another charset. Of text in Thai and Chinese a third can be
UTF-8 by chance, but then letters of any alphabet.
"""

import re
import unicodedata

from pipelines.pages.charset.alphabets import in_any_alphabet, misfit
from pipelines.pages.charset.judged_words import judged_words
from pipelines.pages.charset.two_charsets import is_utf_8_part

# What broke so little is UTF-8 whatever else it may be. Chosen here.
_MAX_BROKEN, _MAX_BROKEN_BYTES = 0.2, 0.1  # of the characters, and of the bytes, that are not ASCII
# Of fewer broken bytes than this as many letters tell; twice as many where another charset is declared. Of 70,000
# messages of GNU's gettext catalogues in 39 languages and their charsets before Unicode, many cut to a few letters, one
# in 23,000 is taken for UTF-8 where its charset is declared, one in 1,600 where none is, one in 760 where UTF-8 is.
# More bytes may be a part in another charset. Chosen here.
_FEW = 8
_SURELY = 4  # times as many letters in a page that declares UTF-8
_MAX_MISFIT = 0.25  # of what would be UTF-8: signs that stand in no word

_NOT_ASCII = re.compile("[^\x00-\x7f]")


def is_broken_utf_8(payload: bytes, not_ascii: int, declared: list[str]) -> bool:
    """Tell whether a page is UTF-8 but for some bytes, given how many of its bytes are not ASCII, and the codecs that
    it declares.
    """
    text = payload.decode("utf-8", errors="replace")
    broken = text.count("\ufffd") - payload.count(b"\xef\xbf\xbd")
    characters = len(text) - len(text.encode("ascii", errors="ignore"))
    if broken <= min(_MAX_BROKEN * characters, _MAX_BROKEN_BYTES * not_ascii):
        return True
    return broken < _FEW and broken <= characters - broken and _tells(payload, broken, declared)


def _tells(payload: bytes, broken: int, declared: list[str]) -> bool:
    """Tell whether the few letters that are UTF-8 are so by no chance."""
    letters = judged_words(payload).decode("utf-8", errors="ignore").replace("\ufffd", "")
    characters = _NOT_ASCII.findall(letters)
    by_chance = sum(map(_is_of_no_alphabet, characters))
    of_languages, others = len(characters) - by_chance, broken + by_chance
    if of_languages < (2 if declared and "utf-8" not in declared else 1) * others:
        return False
    if "utf-8" in declared:
        if of_languages >= max(_FEW, _SURELY * others):  # letters of two scripts in a word too
            return True
        return misfit(letters).broken <= _MAX_MISFIT * len(characters)
    return is_utf_8_part(letters, declared[0] if declared else "cp1252", 1)


def _is_of_no_alphabet(character: str) -> bool:
    """Tell this of what two bytes are: nearly all that is UTF-8 by chance."""
    return character < "\u0800" and unicodedata.category(character)[0] in "LM" and not in_any_alphabet(character)
