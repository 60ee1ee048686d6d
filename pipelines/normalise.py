"""When two texts, or two lines, count as equal: after NFC and with white space squeezed."""

import unicodedata

import xxhash

from pipelines.combining import cap_marks
from pipelines.cut import pieces


def normalise(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFC", cap_marks(text))
    return " ".join(words for piece in pieces(text) if (words := " ".join(piece.split())))


def text_hash(normalised: str) -> bytes:
    """16 bytes by which exact deduplication tells texts apart."""
    return xxhash.xxh3_128_digest(normalised.encode())
