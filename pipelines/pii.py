"""Personal data in texts, replaced by fixed tokens: e-mail addresses, public IP addresses and, if asked, phone numbers.

Each token is an address or number reserved for examples, so that it reaches nobody and is not replaced again. What a
text becomes depends on that text alone. FineWeb draws its tokens in turn, so there it depends on the texts before.
"""

import ipaddress
import re

from pipelines.settings import PiiSettings

EMAIL = "email@example.com"  # RFC 2606
IPV4, IPV6 = "192.0.2.1", "2001:db8::1"  # RFC 5737, RFC 3849
PHONE = "555-0100"  # of the numbers that the North American plan sets aside for fiction

# All quantifiers are bounded: a hostile text takes linear time. RFC 5321 bounds the parts as here.
_EMAIL = re.compile(
    r"(?<![\w.!#$%&*+/=?^`{|}~-])[A-Za-z0-9_][A-Za-z0-9_.!#$%&'*+/=?^`{|}~-]{0,63}"
    r"@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24}(?![\w-])"
)
_MAYBE_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)")
_MAYBE_IPV6 = re.compile(r"(?<![\w:.])[23][0-9A-Fa-f]{3}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])", re.ASCII)  # 2000::/3
# International (+49 30 1234567), North American ((555) 123-4567), and with a leading zero (030/123 45 67).
_MAYBE_PHONE = re.compile(
    r"(?<![\w.,:/+-])(?:(?:\+|00)[1-9](?:[ ./-]{0,2}\(?\d\)?){6,14}|\(?[2-9]\d\d(?:\) ?|[.-])\d{3}[.-]\d{4}"
    r"|\(?0[1-9]\d{0,3}(?:\) ?| ?[/-] ?| )\d{2,4}(?:[ -]?\d{2,4}){1,3})(?![\w:/-]|[.,]\d)"
)
_PHONE_DIGITS = range(9, 16)  # at most 15 by ITU-T E.164; fewer are dates, prices and numbers of parts


def replace_pii(text: str, settings: PiiSettings) -> str:
    """`text` with the kinds of personal data that `settings` name replaced by their tokens."""
    if settings.emails and "@" in text:
        text = _EMAIL.sub(EMAIL, text)
    if settings.ip_addresses:
        if text.count(".") > 2:
            text = _MAYBE_IPV4.sub(lambda match: IPV4 if _is_public(match[0]) else match[0], text)
        if text.count(":") > 1:
            text = _MAYBE_IPV6.sub(lambda match: IPV6 if _is_public(match[0]) else match[0], text)
    if settings.phone_numbers:
        text = _MAYBE_PHONE.sub(lambda match: PHONE if _has_phone_digits(match[0]) else match[0], text)
    return text


def _is_public(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:  # 999.1.1.1, or 12:30:45
        return False


def _has_phone_digits(number: str) -> bool:
    return sum(map(str.isdigit, number)) in _PHONE_DIGITS
