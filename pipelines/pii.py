"""Personal data in texts, replaced by fixed tokens: e-mail addresses, public IP addresses and, if asked, phone numbers.

Each token is an address or number reserved for examples, so that it reaches nobody and is not replaced again. What a
text becomes depends on that text alone. FineWeb draws its tokens in turn, so there it depends on the texts before.
"""

import ipaddress
import re

from pipelines.phone_numbers import replace_phone_numbers
from pipelines.settings import PiiSettings

EMAIL = "email@example.com"  # RFC 2606
IPV4, IPV6 = "192.0.2.1", "2001:db8::1"  # RFC 5737, RFC 3849
PHONE = "555-0100"  # of the numbers that the North American plan sets aside for fiction

# All quantifiers are bounded: a hostile text takes linear time. RFC 5321 bounds the parts as here; RFC 6531 lets them
# be of letters of all scripts. In one without spaces a local part could not be told from the words before it.
_UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f"
    r"\U00020000-\U0003ffff"
)
_MARKED = r"\w\u0300-\u036f\u0900-\u0963\u0966-\u0dff"  # with the accents and vowel signs that stand for themselves
_LETTER = rf"(?:(?![{_UNSPACED}])[{_MARKED}])"
_EMAIL = re.compile(
    rf"(?<![.!#$%&*+/=?^`{{|}}~-])(?<!{_LETTER}){_LETTER}(?:{_LETTER}|[.!#$%&'*+/=?^`{{|}}~-]){{0,63}}"
    rf"@(?:[^\W_](?:[{_MARKED}-]{{0,61}}(?!_)[{_MARKED}])?\.){{1,8}}"
    rf"(?:xn--[A-Za-z0-9-]{{2,59}}|(?:(?![\d_]){_LETTER}){{2,24}}(?!{_LETTER}|-)|[{_UNSPACED}]{{2,24}}(?![\w-]))"
)
_MAYBE_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)")
# Numbers of sections and versions: a word before or behind, an ordinal's dot, or the place of a heading's number.
_SECTION = (
    r"§|v|ver|version|versions|verzió|versión|versione|versão|versie|wersja|verze|versio|версия|release|build|firmware|"
    r"section|sections|sec|chapter|article|art|clause|paragraph|fejezet|szakasz|pont|cikk|bekezdés|ábra|táblázat|"
    r"abschnitt|kapitel|kap|artikel|absatz|ziffer|chapitre|paragraphe|capítulo|sección|capitolo|sezione|rozdział|"
    r"kapitola|kapittel|afsnit|avsnitt|hoofdstuk|figure|fig|table|tab|appendix|melléklet|anhang|annexe?|раздел|глава"
)
_SECTION_BEFORE = re.compile(rf"(?<![^\W\d_])(?:{_SECTION})[ \t.:]{{0,3}}$|[a-z]/$", re.IGNORECASE)
_SECTION_BEHIND = re.compile(rf"\.?\)?[ \t-]{{0,3}}(?:{_SECTION})(?![^\W\d_])", re.IGNORECASE)
_ORDINAL_BEHIND = re.compile(r"\.[ \t]+([^\W\d_])")
_HEADING_BEHIND = re.compile(r"[.)]?[ \t]+[^\W\d_]")
_MOST_OF_SECTIONS = 30  # sections of a chapter; an address with four such numbers is one in 4,000
# 2000::/3, also with the last four bytes written as version 4 is.
_MAYBE_IPV6 = re.compile(
    r"(?<![\w:.])[23][0-9A-Fa-f]{3}(?:(?::[0-9A-Fa-f]{0,4}){1,6}:(?:\d{1,3}\.){3}\d{1,3}|(?::[0-9A-Fa-f]{0,4}){2,7})"
    r"(?![\w:]|\.\d)",
    re.ASCII,
)
# International (+49 30 1234567), North American ((555) 123-4567), and with a leading zero (030/123 45 67).
_MAYBE_PHONE = re.compile(
    r"(?<![\w.,:/+-])(?:(?:\+|00)[1-9](?:[ ./-]{0,2}\(?\d\)?){6,14}|\(?[2-9]\d\d(?:\) ?|[.-])\d{3}[.-]\d{4}"
    r"|\(?0[1-9]\d{0,3}(?:\) ?| ?[/-] ?| )\d{2,4}(?:[ -]?\d{2,4}){1,3})(?![\w:/-]|[.,]\d)"
)
_PHONE_DIGITS = range(9, 16)  # at most 15 by ITU-T E.164; fewer are dates, prices and numbers of parts


def replace_pii(text: str, settings: PiiSettings, language: str | None = None) -> str:
    """`text` with the kinds of personal data that `settings` name replaced by their tokens.

    `language` (ISO 639-3) tells whose phone numbers it may hold.
    """
    if settings.emails and "@" in text:
        text = _EMAIL.sub(EMAIL, text)
    if settings.ip_addresses:
        if text.count(":") > 1:
            text = _MAYBE_IPV6.sub(lambda match: IPV6 if _is_public(match[0]) else match[0], text)
        if text.count(".") > 2:
            text = _MAYBE_IPV4.sub(lambda match: IPV4 if _is_ipv4(match) else match[0], text)
    if settings.phone_numbers:
        text = _MAYBE_PHONE.sub(lambda match: PHONE if _has_phone_digits(match[0]) else match[0], text)
        text = replace_phone_numbers(text, language, PHONE)
    return text


def _is_ipv4(match: re.Match[str]) -> bool:
    before = match.string[max(match.start() - 40, 0) : match.start()].rpartition("\n")[2]
    behind = match.string[match.end() : match.end() + 24]
    if _SECTION_BEFORE.search(before) or _SECTION_BEHIND.match(behind):
        return False
    is_small = all(int(number) <= _MOST_OF_SECTIONS for number in match[0].split("."))
    if is_small and (ordinal := _ORDINAL_BEHIND.match(behind)) and ordinal[1].islower():
        return False
    if is_small and not before.strip(" \t#*") and len(before) < 40 and _HEADING_BEHIND.match(behind):
        return False
    return _is_public(match[0])


def _is_public(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:  # 999.1.1.1, or 12:30:45
        return False


def _has_phone_digits(number: str) -> bool:
    return sum(map(str.isdigit, number)) in _PHONE_DIGITS
