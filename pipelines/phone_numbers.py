"""Phone numbers as a language's countries write them, landlines too, told from dates, prices and other numbers.

Which numbers there are is the knowledge of libphonenumber, in its Python port
(https://github.com/daviddrysdale/python-phonenumbers). A number must be valid where it is written; one that begins with
neither `+` nor a 0 must also stand in the groups of its country, or behind a word for telephone, since a row of figures
may look like it.
"""

import re
from collections.abc import Mapping

from phonenumbers import Leniency, PhoneNumberMatch, PhoneNumberMatcher, is_valid_number

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
_RUN = re.compile(r"(?:\+|\(\+?)?\d[\d ./()\u00a0\u2010-\u2013-]{5,62}\d")
_MIN_DIGITS = 7
_DATE = re.compile(r"\(?(?:\d{4}(?:[./ -]{1,2}\d\d?){2}|(?:\d\d?[./ -]{1,2}){2}(?:\d\d)?\d\d)\)?")
# Behind them stands no phone number: amounts of money, and numbers of books and journals.
_NUMBER_BEFORE = re.compile(
    r"(?:[$€£¥₽₴№]|\b(?:ISBN|ISSN|IBAN|EAN|DOI|Nr|No)\W{0,3}(?:1[03]\W{0,3})?)\s?$", re.IGNORECASE
)
_UNIT_BEHIND = re.compile(
    r"\s?(?:[$€£¥₽₴%‰°]|(?:Ft|HUF|EUR|USD|GBP|CHF|kr|DKK|SEK|NOK|Kč|CZK|zł|PLN|lei|RON|лв|руб|грн|"
    r"km|kg|m[²2³3]|ha|MW|GB|MB|db|fő|pcs|Stück)\b)"
)
_PHONE_BEFORE = re.compile(
    r"(?:\b(?:te?le?f?o?[nf]?(?:on|os)?s?|tlf|phones?|mobi?l?e?|mob|fax|gsm|cell?|handy|call|puh|hívj|τηλ|тел|телефон|"
    r"whatsapp|hotline)\b|[☎📞📱])[^\d\n]{0,12}$",
    re.IGNORECASE,
)


def replace_phone_numbers(text: str, language: str | None, token: str) -> str:
    """`text` with the phone numbers of a language's countries replaced by `token`, which is none of them."""
    regions = REGIONS.get(language or "", _OF_OTHERS)
    left = _MAX_CHARACTERS

    def of_run(run: re.Match[str]) -> str:
        nonlocal left
        if left < len(run[0]) or sum(map(str.isdigit, run[0])) < _MIN_DIGITS or token in run[0]:
            return run[0]
        if _DATE.fullmatch(run[0]):
            return run[0]
        left -= len(run[0])
        result, end = "", 0
        for start, stop in _spans(run, regions):
            result += run[0][end:start] + token
            end = stop
        return result + run[0][end:]

    return _RUN.sub(of_run, text)


def _spans(run: re.Match[str], regions: tuple[str, ...]) -> list[tuple[int, int]]:
    """Where phone numbers stand in a run of digits: those of the first region that has any."""
    for region in regions:
        found = [match for match in PhoneNumberMatcher(run[0], region) if _is_phone_number(match, run, region)]
        if not found and _PHONE_BEFORE.search(run.string[max(run.start() - 40, 0) : run.start()]):
            # Behind such a word the prefix may be missing: mobile 30/123-4567.
            found = [
                match
                for match in PhoneNumberMatcher(run[0], region, leniency=Leniency.POSSIBLE)
                if is_valid_number(match.number) and _is_phone_number(match, run, region)
            ]
        if found:
            return [(match.start, match.end) for match in found]
    return []


def _is_phone_number(match: PhoneNumberMatch, run: re.Match[str], region: str) -> bool:
    before = run.string[max(run.start() + match.start - 40, 0) : run.start() + match.start]
    behind = run.string[run.start() + match.end : run.start() + match.end + 12]
    written = match.raw_string
    if re.search(r"[\w.,:/+-]$", before) or re.match(r"[\w:/-]|[.,]\d", behind):
        return False
    if _NUMBER_BEFORE.search(before) or _UNIT_BEHIND.match(behind) or _DATE.fullmatch(written):
        return False
    if written.lstrip("(").startswith(("+", "0")) or _PHONE_BEFORE.search(before):
        return True
    in_a_row = re.search(r"\d[ \t]$", before) or re.match(r"[ \t]\d", behind)
    exact = PhoneNumberMatcher(written, region, leniency=Leniency.EXACT_GROUPING)
    return not written.isdigit() and not in_a_row and exact.has_next()
