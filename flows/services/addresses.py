"""Hosts and ports that services listen on, who may be meant by a request, and what never goes through a proxy."""

import errno
import ipaddress
import os
import re
import socket
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

from storage.errors import InputError

LOOPBACK = "127.0.0.1"
LOOPBACK_NAMES = frozenset({LOOPBACK, "localhost", "::1"})
REACHED_AT = {"0.0.0.0": LOOPBACK, "::": "::1"}  # addresses to listen on that nobody can be sent to
ALLOWED_HOSTS = "NR_ALLOWED_HOSTS"  # environment: further names that our servers answer to, with spaces between
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
DEFAULT_PORTS = {"http": 80, "https": 443}
_UNPROXIED = re.compile(r"(?:https?://)?[a-z0-9.*_-]+(?::[0-9]{1,5}|/[0-9]{1,3})?", re.IGNORECASE)  # a name in no_proxy
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?", re.IGNORECASE)


def address(host: str, port: int) -> str:
    """Return where what listens on `host` can be asked."""
    host = REACHED_AT.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        return int(listener.getsockname()[1])


def refuse_unusable(host: str, port: int, what: str, option: str) -> None:
    """Raise InputError unless one can listen there; `what` names the service, `option` the one that gives its port."""
    if not 0 < port < 2**16:
        raise InputError(f"port {port}, for {what}, is none: give one from 1 to 65535 with {option}")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except (socket.gaierror, UnicodeError):
        raise InputError(f"--host {host}: there is no such address; give one of this machine") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InputError(f"port {port}, for {what}, is taken by another program: give one with {option}") from None
        if error.errno == errno.EACCES:
            raise InputError(f"port {port}, for {what}, needs root: give one over 1023 with {option}") from None
        raise InputError(f"--host {host}: {error.strerror}; give an address of this machine") from None


def is_loopback(host: str) -> bool:
    """Tell whether a host, by name or number, is this machine's own loopback."""
    number = _number(host)
    return number.is_loopback if number else host.lower() == "localhost"


def _number(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        number = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    return (number.version == 6 and number.ipv4_mapped) or number


def hosts_of(texts: Collection[str]) -> list[str]:
    """Return the names of a setting of allowed hosts. Raises InputError for what is no name or number of a host."""
    names = [name.lower() for text in texts for name in text.replace(",", " ").split()]
    for name in names:
        if _number(name) is None and not re.fullmatch(r"[a-z0-9_-][a-z0-9._-]*", name):
            raise InputError(f"--allow-host {name}: give a name or number alone, as in residues.example.org")
    return names


def refusal(headers: Mapping[str, Collection[str]], reached: str, origins: Collection[str] = ()) -> str | None:
    """Tell why a request is not for us: its Host is another's, or a page of another origin sends it. None where it is.

    A page elsewhere whose name is made to point to our address asks with that name as Host; one that sends requests
    across origins has an Origin header that is not the Host. headers: by lower-case name; reached: the address of ours
    that the connection came in at; origins: further ones whose pages may ask.
    """
    host = [_AUTHORITY.fullmatch(value) for value in headers.get("host", ())]
    if len(host) != 1 or host[0] is None:
        return "one Host header is needed"
    name = host[0][1].strip("[]").lower()
    if name not in _names(reached):
        return f"{name} is no host of this server; {ALLOWED_HOSTS} or `nr up --allow-host` name further ones"
    for origin in headers.get("origin", ()):
        scheme, _, authority = origin.partition("://")
        asks, default = _AUTHORITY.fullmatch(authority), DEFAULT_PORTS.get(scheme, 0)
        if origin in origins:
            continue
        if not (asks and default and asks[1].lower() == host[0][1].lower()) or (
            int(asks[2] or default) != int(host[0][2] or default)
        ):
            return "pages of other origins may not ask"
    return None


def _names(reached: str) -> set[str]:
    allowed = set(hosts_of([os.environ.get(ALLOWED_HOSTS, "")]))
    number = _number(reached)
    if number is None or number.is_loopback:
        return allowed | LOOPBACK_NAMES | ({str(number)} if number else set())
    return allowed | {str(number), socket.gethostname().lower()}


def without_proxy(url: str) -> dict[str, str]:
    """Return the proxy variables of this environment, so changed that loopback and the host of `url` are asked
    directly, and that httpx can read them: it would break at any name that it cannot, at each call.
    """
    named = (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").strip()
    if named == "*":  # nothing is asked through one, and beside other names it would mean itself
        return {"no_proxy": named, "NO_PROXY": named}
    readable = filter(_is_unproxied, map(str.strip, named.split(",")))
    hosts = [*LOOPBACK_NAMES, urlsplit(url).hostname or LOOPBACK]
    joined = ",".join(dict.fromkeys([*readable, *sorted(hosts)]))
    return {"no_proxy": joined, "NO_PROXY": joined}


def _is_unproxied(name: str) -> bool:
    return bool(_UNPROXIED.fullmatch(name) or ("[" not in name and _number(name)))


def proxies() -> dict[str, str]:
    """Return the proxies that are set, by the variable as it is written: httpx and urllib take any case of letters."""
    used = getproxies_environment()
    return {
        name: value
        for name, value in os.environ.items()
        if name.lower() in PROXIES and used.get(name.lower().removesuffix("_proxy")) == value
    }


def refuse_unusable_proxies() -> None:
    """Raise InputError for a proxy variable at which httpx, which Prefect's clients use, would break at each call."""
    for name, value in proxies().items():
        if not _names_a_server(value):
            raise InputError(f"{name} names no proxy: write it as http://HOST:PORT, or unset it")
        scheme = value.partition("://")[0].lower() if "://" in value else "http"
        if scheme not in ("http", "https", "socks5", "socks5h"):
            raise InputError(f"{name} is {scheme}://...: a proxy is http, https, socks5 or socks5h; change or unset it")
        if scheme.startswith("socks") and not _has_socks():
            raise InputError(f"{name} names a SOCKS proxy, which needs a package: pip install socksio, or unset {name}")


def _names_a_server(proxy: str) -> bool:
    from httpx import URL, InvalidURL

    try:
        url = proxy if "://" in proxy else f"http://{proxy}"
        place = urlsplit(url)
        return bool(place.hostname and URL(url).host) and place.port != 0
    except (ValueError, InvalidURL):  # a port that is none, a host that no name server knows
        return False


def _has_socks() -> bool:
    from importlib.util import find_spec

    return find_spec("socksio") is not None
