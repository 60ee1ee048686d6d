"""Pages of which some parts are UTF-8 and others are not: a template of one time and articles of another.

Browsers read them by one charset, so that one kind of part is mojibake. Words of the other part are next to never UTF-8
by chance, so each can be read as what it is.
"""

import re

from pipelines.pages.charset.alphabets import misfit
from pipelines.pages.charset.bytes_to_text import text_of

# From a word's first byte that is not ASCII, and what stands between two tags: no second byte of Chinese or Japanese
# is a space or `<`. Words of these are not parted by spaces: there, what stands between tags is read as one.
_REST_OF_WORD = re.compile(rb"[\x80-\xff][^\x00-\x20<>]*+")
_BETWEEN_TAGS = re.compile(rb"[\x80-\xff][^<]*+")
_MAX_BYTES, _JUDGED_BYTES = 1_000_000, 1 << 14
# Words are UTF-8 where they fit so badly by the charset of the others, and so much better by UTF-8. Chosen here.
_MIN_MISFIT, _MAX_RELATIVE_MISFIT = 0.15, 0.25


def parts(payload: bytes) -> tuple[str, bytes]:
    """Return the words beyond ASCII that are UTF-8, at the page's start, and those that are not; none of a large page,
    where a look at each word would take seconds.
    """
    words = _REST_OF_WORD.findall(payload) if len(payload) <= _MAX_BYTES else []
    in_utf_8 = b" ".join(word for word in words if _is_utf_8(word))
    return in_utf_8[:_JUDGED_BYTES].decode(errors="ignore"), b" ".join(word for word in words if not _is_utf_8(word))


def is_utf_8_part(words: str, encoding: str, least: int) -> bool:
    """Tell whether words are UTF-8, or seem so by chance, given the charset of the page's other words and how many
    characters beyond ASCII they have at least.
    """
    as_utf_8 = misfit(words)
    as_others = misfit(text_of(words.encode(), encoding))
    if as_utf_8.characters < least or as_others.share <= _MIN_MISFIT:
        return False
    # Names of languages are of many alphabets: that letters are foreign to each other says nothing against UTF-8.
    return as_utf_8.broken / as_utf_8.characters <= _MAX_RELATIVE_MISFIT * as_others.share


def decode_parts(payload: bytes, encoding: str, *, parts_words: bool) -> str:
    """Return the text: UTF-8 where a word is that, and `encoding` elsewhere.

    parts_words: `encoding` is one of languages that part words by spaces.
    """

    def as_utf_8(part: re.Match[bytes]) -> bytes:
        return part[0] if _is_utf_8(part[0]) else text_of(part[0], encoding).encode()

    pattern = _REST_OF_WORD if parts_words else _BETWEEN_TAGS
    return pattern.sub(as_utf_8, payload).decode()


def _is_utf_8(part: bytes) -> bool:
    try:
        part.decode()
    except UnicodeDecodeError:
        return False
    return True
