"""Personal data in texts, replaced by fixed tokens: e-mail addresses, public IP addresses and, if asked, phone numbers.

Each token is an address or number reserved for examples, so that it reaches nobody and is not replaced again. What a
text becomes depends on that text alone. FineWeb draws its tokens in turn, so there it depends on the texts before.
"""

import ipaddress
import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

from phonenumbers import (
    Leniency,
    PhoneMetadata,
    PhoneNumberMatch,
    PhoneNumberMatcher,
    PhoneNumberType,
    is_valid_number,
    number_type,
    parse,
)

from pipelines.settings import PiiSettings
from pipelines.text.section_numbers import addresses

# Phone numbers as a language's countries write them, landlines too, told from dates, prices and other numbers.
#
# Which numbers there are is the knowledge of libphonenumber, in its Python port
# (https://github.com/daviddrysdale/python-phonenumbers). A number must be valid where it is written; one that begins
# with neither `+` nor its country's prefix must also stand in the groups of its country, or beside a word for
# telephone, since a row of figures may look like it. Behind such a word the area may be missing.


# Regions (ISO 3166) whose numbers are looked for in a text of a language (ISO 639-3); the first is where most speak it.
REGIONS: Mapping[str, tuple[str, ...]] = {
    language: tuple(regions.split())
    for language, regions in {
        "hun": "HU RO SK", "fra": "FR BE CH CA", "deu": "DE AT CH", "eng": "US GB IE AU", "dan": "DK", "nor": "NO",
        "nno": "NO", "swe": "SE FI", "fin": "FI", "isl": "IS", "nld": "NL BE", "ita": "IT CH", "spa": "ES MX AR CO",
        "por": "PT BR", "cat": "ES", "glg": "ES", "eus": "ES FR", "pol": "PL", "ces": "CZ", "slk": "SK", "slv": "SI",
        "hrv": "HR BA", "bos": "BA", "srp": "RS BA", "hbs": "RS HR BA", "mkd": "MK", "sqi": "AL XK", "ron": "RO MD",
        "bul": "BG", "ell": "GR CY", "est": "EE", "lav": "LV", "lit": "LT", "ukr": "UA", "rus": "RU", "bel": "BY",
        "tur": "TR", "gle": "IE", "cym": "GB", "mlt": "MT", "ltz": "LU", "jpn": "JP", "kor": "KR", "zho": "CN TW HK",
        "yue": "HK", "vie": "VN", "tha": "TH", "ind": "ID", "msa": "MY", "heb": "IL", "ara": "EG SA MA AE", "fas": "IR",
        "hin": "IN", "ben": "BD IN", "urd": "PK", "swa": "KE TZ",
    }.items()
}  # fmt: skip
_OF_OTHERS = ("HU", "DE", "FR", "IT", "GB")  # of a language that is not known, or not in the table
_MAX_CHARACTERS = 2000  # of runs of digits that are looked at in a text: one with more is a table; 30 μs each a region
_RUN = re.compile(r"(?:[+\uff0b]|[(\uff08][+\uff0b]?)?\d[\d ./()\u00a0\u2010-\u2013\u3000\uff08\uff09\uff0d-]{5,62}\d")
_MIN_DIGITS = 7
_DATE = re.compile(r"\(?(?:\d{4}(?:[./ -]{1,2}\d\d?){2}|(?:\d\d?[./ -]{1,2}){2}(?:\d\d)?\d\d)\)?")
# Slashes of one number that libphonenumber takes for those of a date: 06/20/313-4567, 0475/31/34/56. Behind the second
# slash of a date stand two digits or a year; a year at the end is that of a file or a law.
_SLASHES = re.compile(
    r"(?<![\d/])(?:(?:\+\d{1,3}|0\d{0,3})/\d{1,3}/(?!(?:[\d -]{0,12}/)?(?:1[89]|20)\d\d(?!\d))"
    r"(?:\d\d-\d\d-\d{3}|\d{3}[ /-]?\d[ -]?\d)|0\d{2,3}(?:/\d\d){3}(?![\d/]))"
)
# Beside a date with slashes libphonenumber looks for no number.
_SLASHED_DATE = re.compile(r"(?<![\d/])(?:\d{4}(?:/\d\d?){2}|(?:\d\d?/){2}(?:\d\d)?\d\d)(?![\d/])")
# Behind them stands no phone number: amounts of money, and numbers of books and journals.
_NUMBER_BEFORE = re.compile(
    r"(?:[$€£¥₽₴№]|\b(?:ISBN|ISSN|IBAN|EAN|DOI|Nr|No)\W{0,3}(?:1[03]\W{0,3})?)\s?$", re.IGNORECASE
)
_UNIT_BEHIND = re.compile(
    r"\s?(?:[$€£¥₽₴%‰°]|(?:Ft|HUF|EUR|USD|GBP|CHF|kr|DKK|SEK|NOK|Kč|CZK|zł|PLN|lei|RON|лв|руб|грн|"
    r"km|kg|m[²2³3]|ha|MW|GB|MB|db|fő|pcs|Stück)\b|[元円원])"
)
# Letters of scripts in which a number stands beside a word without a space.
_UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f"
    r"\U00020000-\U0003ffff"
)
# A number of a list may follow one at once, and an extension, which is no year: 061234567,061234568; 06 1 234-5678/12.
_LISTED = re.compile(r"\d[\d ./()-]{5,20}\d[,/]\Z")
_GOES_ON = re.compile(
    rf"(?![{_UNSPACED}])[\w:-]|\.\d|,(?!\+?\(?\d[\d ./()-]{{5,20}}\d)\d"
    r"|/(?=\d)(?!\d[\d ./()-]{5,20}\d)(?:(?:1[89]|20)\d\d(?!\d)|\d{6}|\d{1,5}[/.-])"
)
_BETWEEN_LISTED = re.compile(
    r"[ ,;/|]{1,3}|,? (?:és|vagy|und|oder|and|or|et|ou|og|eller|och|i|lub|a|nebo|e|y|o|és/vagy) "
)
_PHONE_WORD = (
    r"(?:\b(?:te?le?f?o?[nf]?(?:on|os)?s?|tlf|telp|phones?|mobi?l?e?|mob|kom|fax|gsm|cell?|handy|call|puh|cep|hívj|sími|"
    r"s(?=\.)|tālr\w{0,6}|simu|hp|f[óo]n|ffôn|τηλ|κιν|φαξ|тел|телефон|моб|сот|факс|đt|điện thoại|whatsapp|hotline)\b"
    r"|[☎📞📱]|电话|電話|手机|手機|传真|傳真|携帯|전화|휴대폰|팩스|โทร|טל|טלפון|هاتف|تلفن|फ़ोन|मोबाइल|ফোন)"
)
_PHONE_BEFORE = re.compile(rf"{_PHONE_WORD}[^\d\n]{{0,12}}$", re.IGNORECASE)
_PHONE_BEHIND = re.compile(rf"[ \u00a0]?\(?{_PHONE_WORD}(?![^\d\n]{{0,12}}[\d+][\d ./()-]{{5}})", re.IGNORECASE)
_TRUNK_IS_8 = ("RU", "BY", "LT", "KZ")  # 8 (495) 123-45-67
_FORMER_TRUNK = re.compile(r"\(?0[-/ ]?(\d{1,3})\)? ?")  # where none is left, old pages have it: Poland's (0-22)
_LOCAL = re.compile(r"\d{3}[ -]\d\d[ -]\d\d|\d{3}-\d{4}")  # without its area
# Landlines as pages have them without a word for telephone, in groups that libphonenumber does not know or without the
# prefix. They look like no other number: no thousands, no year, no number of a file. Eight digits in a row
# (Denmark's, Latvia's) and 7 123 456 (Estonia's) do, and stay.
_LANDLINE = {
    region: re.compile(pattern)
    for region, pattern in {
        "GR": r"2(?:[2-8]\d|31)\d \d{6}",
        "HU": r"1/[2-4]\d\d-(?!(?:1[89]|20)\d\d)\d{4}",
        "LT": r"8 5 2\d\d \d\d \d\d",
    }.items()
}
_LONG_GROUP = re.compile(r"\d{5}")  # no thousands, and no years


def replace_phone_numbers(text: str, language: str | None, token: str) -> str:
    """Return `text` with the phone numbers of a language's countries replaced by `token`, which is none of them."""
    regions = REGIONS.get(language or "", _OF_OTHERS)
    left, listed = _MAX_CHARACTERS, -1  # behind which a number is the next of a list

    def of_run(run: re.Match[str]) -> str:
        nonlocal left, listed
        if left < len(run[0]) or sum(map(str.isdigit, run[0])) < _MIN_DIGITS or token in run[0]:
            return run[0]
        if _DATE.fullmatch(run[0]):
            return run[0]
        left -= len(run[0])
        is_told = (
            _PHONE_BEFORE.search(text[max(run.start() - 40, 0) : run.start()])
            or _PHONE_BEHIND.match(text[run.end() : run.end() + 40])
            or (listed >= 0 and _BETWEEN_LISTED.fullmatch(text[listed : run.start()][:12]))
        )
        result, end = "", 0
        for start, stop in _spans(run, regions, bool(is_told)):
            result += run[0][end:start] + token
            end = stop
            listed = run.start() + stop
        return result + run[0][end:]

    return _RUN.sub(of_run, text)


def _spans(run: re.Match[str], regions: tuple[str, ...], is_told: bool) -> list[tuple[int, int]]:
    """Return where phone numbers stand in a run of digits: those of the first region that has any.

    is_told: a word for telephone stands beside it, or another number before it.
    """
    written = _SLASHES.sub(lambda number: number[0].replace("/", "-"), run[0])
    written = _SLASHED_DATE.sub(lambda date: "x" * len(date[0]), written)
    for region in regions:
        found = [
            match for match in PhoneNumberMatcher(written, region) if _is_phone_number(match, run, region, is_told)
        ]
        if not found and is_told:
            # Behind such a word the prefix may be missing: mobile 30/123-4567.
            found = [
                match
                for match in PhoneNumberMatcher(written, region, leniency=Leniency.POSSIBLE)
                if is_valid_number(match.number) and _is_phone_number(match, run, region, is_told)
            ]
        if found:
            return [(match.start, match.end) for match in found]
        if _is_of_former_trunk(run, region) or _is_landline(run, region) or (is_told and _LOCAL.fullmatch(written)):
            return [(0, len(written))]
    return []


def _is_of_former_trunk(run: re.Match[str], region: str) -> bool:
    metadata = PhoneMetadata.metadata_for_region(region)
    if not run[0].startswith(("0", "(0")) or metadata is None or metadata.national_prefix is not None:
        return False
    written = _FORMER_TRUNK.sub(lambda trunk: f"{trunk[1]} ", run[0], count=1)
    [*found] = PhoneNumberMatcher(written, region, leniency=Leniency.STRICT_GROUPING)
    return len(found) == 1 and found[0].raw_string == written and _stands_alone(run)


def _is_landline(run: re.Match[str], region: str) -> bool:
    if region not in _LANDLINE or not _LANDLINE[region].fullmatch(run[0]):
        return False
    before = run.string[max(run.start() - 40, 0) : run.start()]
    return is_valid_number(parse(run[0], region)) and _stands_alone(run) and not _NUMBER_BEFORE.search(before)


def _stands_alone(run: re.Match[str]) -> bool:
    before = run.string[max(run.start() - 40, 0) : run.start()]
    return not _goes_before(before) and not _goes_on(run.string, run.end())


def _is_phone_number(match: PhoneNumberMatch, run: re.Match[str], region: str, is_told: bool) -> bool:
    before = run.string[max(run.start() + match.start - 40, 0) : run.start() + match.start]
    behind = run.string[run.start() + match.end : run.start() + match.end + 24]
    written = match.raw_string
    if _goes_before(before) or _goes_on(run.string, run.start() + match.end):
        return False
    if _NUMBER_BEFORE.search(before) or _DATE.fullmatch(written):
        return False
    if is_told or _PHONE_BEFORE.search(before):
        return True
    if unicodedata.normalize("NFKC", written).lstrip("(").startswith(("+", "0")):
        return True
    has_trunk_8 = region in _TRUNK_IS_8 and written.lstrip("(").startswith("8")
    if written.isdigit():  # China's mobile numbers: 13812345678
        return len(written) >= 11 and (has_trunk_8 or number_type(match.number) == PhoneNumberType.MOBILE)
    in_a_row = re.search(r"\d[ \t]$", before) or re.match(r"[ \t]\d", behind)
    is_strict = _LONG_GROUP.search(written) or (has_trunk_8 and set("(-") & set(written))  # the latter: no thousands
    leniency = Leniency.STRICT_GROUPING if is_strict else Leniency.EXACT_GROUPING
    return not in_a_row and PhoneNumberMatcher(written, region, leniency=leniency).has_next()


def _goes_on(text: str, end: int) -> bool:
    """Tell whether what ends here is part of something longer, or counts something."""
    behind = text[end : end + 24]
    return bool(_GOES_ON.match(behind) or _UNIT_BEHIND.match(behind))


def _goes_before(before: str) -> bool:
    """Tell whether what begins behind this is part of something longer: a word, an address, a decimal, a time."""
    last, second = before[-1:], before[-2:-1]
    if last in (",", "/") and _LISTED.search(before):
        return False
    if last in (":", ","):
        return second.isdigit()
    if last == ".":
        return not _PHONE_BEFORE.search(before)
    return re.search(rf"(?![{_UNSPACED}])[\w/+-]\Z", before) is not None


EMAIL = "email@example.com"  # RFC 2606
IPV4, IPV6 = "192.0.2.1", "2001:db8::1"  # RFC 5737, RFC 3849
PHONE = "555-0100"  # of the numbers that the North American plan sets aside for fiction

# All quantifiers are bounded: a hostile text takes linear time. RFC 5321 bounds the parts as here; RFC 6531 lets them
# be of letters of all scripts. In one without spaces a local part could not be told from the words before it.
_MARKED = r"\w\u0300-\u036f\u0900-\u0963\u0966-\u0dff"  # with the accents and vowel signs that stand for themselves
_LETTER = rf"(?:(?![{_UNSPACED}])[{_MARKED}])"
# A local part may have these signs by the RFC, but most often they stand before an address or between two: *a@b.hu*.
# A local part that begins behind one has none of them in it, and no two dots or hyphens in a row.
_SIGN = r"[!#$%&*/=?^`{|}~]"
_PICTURE = r"\d{1,2}(?:\.\d)?x\.(?i:png|jpe?g|gif|webp|svg|avif)(?!\w)"  # icon@2x.png is a file
_EMAIL = re.compile(
    rf"(?:(?<![.!#$%&*+/=?^`{{|}}~-])(?<!{_LETTER}){_LETTER}(?:{_LETTER}|[.!#$%&'*+/=?^`{{|}}~-]){{0,63}}"
    rf"|(?:(?<={_SIGN})|(?<=[.+-])(?<!\w[.+-])){_LETTER}(?:{_LETTER}|['.+-](?={_LETTER})){{0,63}})"
    rf"[@\uff20](?!{_PICTURE})(?:[^\W_](?:[{_MARKED}-]{{0,61}}(?!_)[{_MARKED}])?\.){{1,8}}"
    rf"(?:xn--[A-Za-z0-9-]{{2,59}}|(?:(?![\d_]){_LETTER}){{2,24}}(?!(?!_){_LETTER})|[{_UNSPACED}]{{2,24}}(?![\w-]))"
)
_MAYBE_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)")
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
    """Return `text` with the kinds of personal data that `settings` name replaced by their tokens.

    `language` (ISO 639-3) tells whose phone numbers it may hold.
    """
    if settings.emails and ("@" in text or "\uff20" in text):
        text = _EMAIL.sub(EMAIL, text)
    if settings.ip_addresses:
        if text.count(":") > 1:
            text = _MAYBE_IPV6.sub(lambda match: IPV6 if _is_public(match[0]) else match[0], text)
        if text.count(".") > 2:
            text = _without_ipv4(text)
    if settings.phone_numbers:
        text = _MAYBE_PHONE.sub(lambda match: PHONE if _has_phone_digits(match[0]) else match[0], text)
        text = replace_phone_numbers(text, language, PHONE)
    return text


def _without_ipv4(text: str) -> str:
    kept: list[str] = []
    end = 0
    for number, is_address in addresses(_MAYBE_IPV4.finditer(text)):
        if is_address and _is_public(number[0]):
            kept += [text[end : number.start()], IPV4]
            end = number.end()
    return "".join([*kept, text[end:]])


@lru_cache(maxsize=4096)
def _is_public(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:  # 999.1.1.1, or 12:30:45
        return False


def _has_phone_digits(number: str) -> bool:
    return sum(map(str.isdigit, number)) in _PHONE_DIGITS
