"""The words of a page by which charsets are told."""

import re

# A word from its first byte on that is not ASCII, and what parts words: no second byte of Chinese or Japanese.
_REST_OF_WORD = re.compile(rb"[\x80-\xff][^\x00-\x20<>]*+")
_PARTED = bytes.maketrans(bytes([*range(0x20), *b"<>"]), b" " * 34)
_JUDGED_BYTES, _WORD_BYTES = 1 << 14, 64


def judged_words(payload: bytes) -> bytes:
    """Return the words at a page's start that are not all ASCII, which is where charsets differ."""
    words, size, end = [], 0, 0
    while size <= _JUDGED_BYTES and (rest := _REST_OF_WORD.search(payload, end)):
        before = _last_word(payload[max(end, rest.start() - _JUDGED_BYTES) : rest.start()])
        end = rest.end()
        words.append((before + payload[rest.start() : min(end, rest.start() + _JUDGED_BYTES)])[:_JUDGED_BYTES])
        size += len(words[-1])
    return b" ".join(words)


def _last_word(text: bytes) -> bytes:
    """Return what stands behind the last sign that parts words: of most words that is near."""
    for part in (text[-_WORD_BYTES:], text):
        if (parted := part.translate(_PARTED).rfind(b" ")) >= 0:
            return part[parted + 1 :]
    return text
