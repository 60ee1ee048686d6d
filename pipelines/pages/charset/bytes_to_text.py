"""Bytes to text by a charset as browsers have it, where Python's codec of that name lacks characters or has others.

By the indexes of https://encoding.spec.whatwg.org/. Those of Japanese are Microsoft's, with rows that NEC added (①,
㈱), which Python has in its codec of Shift_JIS alone. Left as Python has them: some 190 ideographs of Big5 that came in
2008 or are twice in it.
"""

import codecs
import threading
from functools import cache

_LEADS = {
    "cp932": range(0x81, 0xFD),
    "cp949": range(0x81, 0xFF),
    "gb18030": range(0x81, 0xFF),
    "big5hkscs": range(0x81, 0xFF),
    "euc_jp": (0x8E, 0x8F, *range(0xA1, 0xFF)),
}
OF_TWO_BYTES = tuple(_LEADS)
ISO_2022_JP = "iso2022_jp_ext"
_UNICODE = ("utf-8", "utf-16-le", "utf-16-be")
_LACKING = (*OF_TWO_BYTES, ISO_2022_JP)  # whose codecs lack characters that browsers have
# Characters of Python's codec, and those of browsers.
_JAPANESE = ("〜‖−¢£¬", "～∥－￠￡￢")
_OTHER_CHARACTERS = {
    "euc_jp": _JAPANESE,
    ISO_2022_JP: _JAPANESE,
    "gb18030": (
        "\ue5e5\ue78d\ue78e\ue78f\ue790\ue791\ue792\ue793\ue794\ue795\ue796\ue7c7\ue81e\ue826\ue82b\ue82c\ue832\ue843\ue854\ue864",
        "\u3000︐︒︑︓︔︕︖︗︘︙ḿ龴龵龶龷龸龹龺龻",
    ),
    "big5hkscs": ("•､‾∼♁☉¥¢£", "‧﹑¯～⊕⊙￥￠￡"),
}
_OTHER_BYTES = {("koi8-u", 0xAE): "ў", ("koi8-u", 0xBE): "Ў", ("cp1255", 0xCA): "\u05ba"}
# Each place where a codec fails takes a microsecond in Python: text that has more is read as the codec has it. Chosen
# here.
_MOST_PLACES = 200_000
_places = threading.local()  # how many are left of the text that a thread decodes
_EURO = {"gb18030": b"\x80", "big5hkscs": b"\xa3\xe1"}


class _TooManyPlaces(Exception):
    """A codec fails in more places than one looks at."""


def text_of(content: bytes, encoding: str) -> str:
    """Decode bytes by a codec; what has no character is U+FFFD, or one of the control characters of ISO 8859."""
    if encoding in _UNICODE:
        return content.decode(encoding, errors="replace")
    if encoding not in _LACKING:
        return codecs.charmap_decode(content, "strict", _characters(encoding))[0]
    _places.left = _MOST_PLACES
    try:
        text = content.decode(encoding, errors="as_browsers")
    except _TooManyPlaces:
        text = content.decode(encoding, errors="replace")
    for character, of_browsers in zip(*_OTHER_CHARACTERS.get(encoding, ("", "")), strict=True):
        text = text.replace(character, of_browsers)
    return text


@cache
def _characters(encoding: str) -> str:
    """Return the characters of all bytes. Those up to 0xA0 that have none are control characters, which leave the text
    later.
    """
    read = [bytes([byte]).decode(encoding, errors="replace") for byte in range(256)]
    controls = (chr(byte) if read[byte] == "\ufffd" and byte < 0xA0 else read[byte] for byte in range(256))
    return "".join(_OTHER_BYTES.get((encoding, byte), character) for byte, character in enumerate(controls))


def _as_browsers(error: UnicodeError) -> tuple[str, int]:
    """Return what browsers take bytes for that a codec has no character for, and where they go on."""
    assert isinstance(error, UnicodeDecodeError)
    _places.left -= 1
    if _places.left < 0:
        raise _TooManyPlaces
    content, start, end = error.object, error.start, error.end
    if error.encoding == ISO_2022_JP and end == start + 2:
        return _of_nec(content[start], content[start + 1]), end
    euro = _EURO.get(error.encoding)
    if euro and content.startswith(euro, start):
        return "€", start + len(euro)
    second = content[start + 1 : start + 2]
    if second < b"\x80" or content[start] not in _LEADS.get(error.encoding, ()):
        return "\ufffd", end
    # Both bytes are lost: the second would be taken for the first of all that follow.
    if error.encoding == "euc_jp" and content[start] == 0x8F:
        return "\ufffd", start + (3 if content[start + 2 : start + 3] >= b"\x80" else 2)
    return (_of_nec(content[start] - 0x80, second[0] - 0x80) if error.encoding == "euc_jp" else "\ufffd"), start + 2


@cache
def _of_nec(row: int, cell: int) -> str:
    """Return the character at a place of JIS X 0208, whose rows Shift_JIS has two by two."""
    if not (0x21 <= row <= 0x7E and 0x21 <= cell <= 0x7E):
        return "\ufffd"
    lead, is_second = divmod(row - 0x21, 2)
    trail = cell + 0x7E if is_second else cell + 0x1F + (cell >= 0x60)
    character = bytes([lead + (0x81 if lead < 0x1F else 0xC1), trail]).decode("cp932", errors="replace")
    return character if len(character) == 1 else "\ufffd"


codecs.register_error("as_browsers", _as_browsers)
