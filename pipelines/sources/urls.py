"""Compares hosts in one form, and takes what opens a file out of its address: passwords, tokens, signatures.

Hosts are those of URLs, which in crawls may be none, and as people write them. Their form is that of a browser's
request: UTS 46 without its transitional rules (https://www.unicode.org/reports/tr46/), so punycode, in lower case,
without a port and without the dot of the root.

What is kept or said of an address has no secret in it.

A signature changes whenever an address is signed anew, and the file stays the same: so its key has none either. What
may be a credential, by its name or because it looks drawn at random, is masked by its fingerprint: two files stay two.
"""

import hashlib
import re
from typing import Annotated
from urllib.parse import quote, unquote, urlsplit

import idna
from pydantic import AfterValidator, PlainSerializer

from pipelines.sources.credentials import TOKEN
from storage.locations import with_scheme_in_small_letters

MAX_HOST_CHARACTERS = 253  # RFC 1035, 2.3.4
# As most are; to split a URL takes ten times as long.
_PLAIN = re.compile(r"https?://([a-z0-9-]{1,63}+(?:\.[a-z0-9-]{1,63}+){1,2}+)(?:[/?#]|\Z)")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\x9f\ud800-\udfff]")
_IN_PATTERN = re.compile(r"[*?\[\]!]")


def host_of(url: str) -> str:
    """Return the host of a URL as it is compared; '' if it has none."""
    if plain := _PLAIN.match(url):
        return plain[1]
    try:
        return ascii_host(urlsplit(url).hostname or "")
    except ValueError:  # brackets that hold no IPv6 address
        return ""


def host_named(name: str) -> str:
    """Return a host that somebody wrote, perhaps with a port, as it is compared: `Példa.hu.:80` ->
    `xn--plda-cpa.hu`.
    """
    return host_of(f"//{name.strip()}")


def ascii_host(host: str) -> str:
    """Return a host without port as it is compared. Labels that UTS 46 forbids stay as they are, in lower case."""
    host = host[: 4 * MAX_HOST_CHARACTERS]
    if "%" in host:
        host = unquote(host)
    host = _UNPRINTABLE.sub("", host)
    if not host.isascii():
        host = ".".join(map(_ascii_label, _mapped(host[:MAX_HOST_CHARACTERS]).split(".")))
    return host.lower().strip(".")[:MAX_HOST_CHARACTERS]


def without_www(host: str) -> str:
    """Return a host, as it is compared, without `www.`: of www.hu it would leave all of .hu, so that it stays there."""
    rest = host.removeprefix("www.")
    return rest if "." in rest else host


def ascii_host_pattern(pattern: str) -> str:
    """Return a host pattern (*, ?, [..]) as hosts are compared: labels with a wildcard stay, the others are as in a
    host.
    """
    labels = pattern.strip().lower().rstrip(".").split(".")
    return ".".join(label if _IN_PATTERN.search(label) else ascii_host(label) for label in labels)


def _mapped(host: str) -> str:
    try:
        mapped = idna.uts46_remap(host, std3_rules=False, transitional=False)
    except idna.IDNAError:
        mapped = host.lower()
    return _UNPRINTABLE.sub("", mapped)  # a cedilla that stands alone becomes a space and its mark


def _ascii_label(label: str) -> str:
    return label if label.isascii() else f"xn--{label.encode('punycode').decode('ascii')}"


# Names in a query, in small letters without - _ . and what they begin with: signed addresses of Amazon S3 (versions 2
# and 4) and CloudFront, Google Cloud Storage, Azure (SAS), Alibaba, Tencent, Huawei and Akamai, by their documentation,
# and the names that services give to tokens.
_CREDENTIAL = re.compile(
    r"^(?:xamz|xgoog|xoss|xcos|xobs|xms|qsign|qak|qkey|qheader|qurl|hdn|cloudfront)|"
    r"token(?!i[sz])|signature|secret|passw|passphrase|credential|apikey|accesskey|authoriz|authenti|authkey|hmac|bearer|"
    r"sessionid|sessid$|(?<!com)pass$|passcode|assertion$|sig$|"
    r"^(?:sign|sas|auth|jwt|pwd|psw|pw|sid|cred|creds|session|cookie|ticket|otp)$"
)
# Keys of interfaces, licences and shared links have many names; some of them name a file in other places.
_MAYBE = re.compile(r"key$|clearance$|^(?:code|mac|pin|signed|verify)$")
# When it was signed, and a MAC of it: under `verify`, or a name of the owner's, by Cloudflare's documentation
# (https://developers.cloudflare.com/waf/custom-rules/use-cases/configure-token-authentication/).
_TIME_AND_MAC = re.compile(r"\d{9,11}-[\w+/-]{22,86}={0,2}")
_MASK = re.compile(r"~[0-9a-f]{12}")
# Of addresses that hold for a time, as nginx's secure_link has them: ?md5=...&expires=..., ?st=...&e=...
_UNTIL, _OF_TIMED = frozenset({"expires", "expiry", "exp", "e"}), frozenset({"md5", "st", "hash", "h", "s"})
# Beside one of them these belong to it, and change with it.
_BESIDE = re.compile(
    r"expires|expiry|expiration|exp|e|ts|timestamp|nonce|md5|policy|keypairid|googleaccessid|user|username|login|"
    r"sv|se|st|sp|sr|spr|sip|ss|srt|si|skoid|sktid|skt|ske|sks|skv|saoid|suoid|scid|sdd|ses"
)
_RANDOM = re.compile(r"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9+_=~%-]{24,}")
_CONTAINER_SCHEMES = ("abfs", "abfss", "wasb", "wasbs")  # container@account, which is no password
_MISTYPED = re.compile(r"\s*(https?)(:[/\\]+)", re.IGNORECASE)
_URL = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]{1,30}://|https?:/)[^\s'\"<>`{}|\\^]+", re.IGNORECASE)
_PARTS = re.compile(r"[/?#&=:@;]+")
_QUERY = re.compile(r"\?[^\s'\"<>`{}|\\^()]+")


def redacted(address: str) -> str:
    """Return an address without passwords, tokens and signatures; a path on this machine as it is."""
    before, mark, rest = address.partition("://")
    if not mark:
        if (mistyped := _MISTYPED.match(address)) is None:
            return address
        before, mark, rest = mistyped[1], mistyped[2], address[mistyped.end() :]
    scheme = re.split(r"[^A-Za-z0-9+.-]", before)[-1].lower()  # of the last of a chain, simplecache::https
    rest = _without_userinfo(rest, scheme)  # first: a password may have a # in it
    if scheme in ("http", "https"):
        rest = rest.partition("#")[0]  # no server gets to see it
    path, question, query = rest.partition("?")
    path = re.sub(r";([^;/=]{1,50})=([^;/]*)", _without_credential, path)
    kept = redacted_query(query)
    return f"{before}{mark}{path}{question if kept or not query else ''}{kept}"


def redacted_text(text: str, about: str = "") -> str:
    """Return a text, such as an error's, with the addresses in it redacted, and what looks like the query of one or
    like a token.

    What `about`, the address that the error is of, would lose is masked by itself too: libraries name parts of it.
    """
    secrets = set(_PARTS.split(about)) - set(_PARTS.split(redacted(about)))
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    text = _URL.sub(lambda found: redacted(found[0]), text)
    text = _QUERY.sub(lambda found: f"?{redacted_query(found[0][1:])}", text)
    return TOKEN.sub("***", text)


def redacted_query(query: str) -> str:
    """Return the query of an address without credentials and what goes with them."""
    members = [_up_to_credential(member) for member in query.replace("&amp;", "&").split("&")]
    given = [member.partition("=") for member in members]
    is_timed = any(_plain(name) in _UNTIL for name, _, _ in given)
    secret = {
        place
        for place, (name, _, value) in enumerate(given)
        if _is_credential(name, value) or _is_credential("", members[place]) or (is_timed and _plain(name) in _OF_TIMED)
    }
    kept = [
        f"{name}={_masked(name, value)}" if mark else member
        for place, (member, (name, mark, value)) in enumerate(zip(members, given, strict=True))
        if place not in secret and not (secret and _BESIDE.fullmatch(_plain(name)))
    ]
    return "&".join(kept)


def _up_to_credential(member: str) -> str:
    """Return what stands before a credential where semicolons part a member, as they once did, or a second ? does."""
    first, *others = re.split("(?<=.)(?=[;?])", member)
    if others and not _is_credential(*first.partition("=")[::2]):
        for place, other in enumerate(others):
            if _is_credential(*other[1:].partition("=")[::2]):
                return "".join([first, *others[:place]])
    return member


def _without_userinfo(rest: str, scheme: str) -> str:
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user, at, _ = authority.rpartition("@")
    if at:
        return rest if scheme in _CONTAINER_SCHEMES and ":" not in user else rest[len(user) + 1 :]
    port = authority.rpartition(":")[2]
    if ":" in authority and not authority.startswith("[") and not port.isdigit():
        return rest.rpartition("@")[2]  # a password with a / in it, which is no address, but is said in an error
    return rest


def _without_credential(parameter: re.Match[str]) -> str:
    return "" if _is_credential(parameter[1], parameter[2]) else parameter[0]


def _is_credential(name: str, value: str) -> bool:
    plain = _plain(name)
    if plain == "key":  # of an interface; or the name of a file
        return not re.search("[./]", unquote(value))
    return _CREDENTIAL.search(plain) is not None or _TIME_AND_MAC.fullmatch(unquote(value)) is not None


def _plain(name: str) -> str:
    return re.sub(r"[-_.\s\[\]]", "", unquote(unquote(name))).lower()


def _inner(address: str) -> str:
    """Return an address that stands in an address, without user, and without query if there is a credential in it."""
    before, _, rest = address.partition("://")
    clean = f"{before}://{_without_userinfo(rest, before)}"
    path, _, query = clean.partition("?")
    return path if any(_is_credential(*member.partition("=")[::2]) for member in re.split("[&;]", query)) else clean


def _masked(name: str, value: str) -> str:
    if "://" in (inner := unquote(value)) and (clean := _inner(inner)) != inner:
        return quote(clean, safe="")
    may_be_key = _MAYBE.search(_plain(name)) and value and not re.search("[./]", inner)
    if not (may_be_key or _RANDOM.fullmatch(value)) or _MASK.fullmatch(value):
        return value
    return f"~{hashlib.blake2b(value.encode(), digest_size=6).hexdigest()}"


# In settings: what a flow hands to Prefect, and a report shows, is their JSON.
Address = Annotated[
    str,
    AfterValidator(with_scheme_in_small_letters),
    PlainSerializer(redacted, return_type=str, when_used="json"),
]
