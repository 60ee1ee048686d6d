"""Credentials of the Prefect servers that we start: a server answers only those who have the credential of its home.

The credential is one random string a PREFECT_HOME, in a file of the owner's alone; a user's own
PREFECT_SERVER_API_AUTH_STRING takes its place. It travels in the environment of our processes and in that file: never
on a command line, which every user of the machine can read, and in no log.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from flows.services.addresses import ALLOWED_HOSTS, without_proxy
from storage.errors import InputError

FILE = "credential"
USER = "nr"  # Prefect asks for user:password, and compares both as one string
OWN, CLIENT = "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"
OTHER_HOME = "give another in PREFECT_HOME, or to `nr up` with --home"
OTHERS = stat.S_IRWXG | stat.S_IRWXO
ORIGINS = ("PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS", "PREFECT_SERVER_CORS_ALLOWED_ORIGINS")


def make_private(home: Path) -> None:
    """Make the folder, or close it to other users. Raises InputError where that is not in our power."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        if home.stat().st_mode & OTHERS:
            home.chmod(home.stat().st_mode & ~OTHERS)
    except OSError as error:
        raise InputError(
            f"{home}, for Prefect's state, cannot be made yours alone ({error.strerror}): {OTHER_HOME}"
        ) from None
    if home.stat().st_mode & OTHERS:
        raise InputError(f"the file system of {home} keeps no permissions: {OTHER_HOME}")


def own_credential() -> str | None:
    """Return the credential that the user has set, or None. Raises InputError for one that no client could send."""
    own, client = os.environ.get(OWN) or None, os.environ.get(CLIENT) or None
    if own and client and own != client and not os.environ.get("PREFECT_API_URL"):
        raise InputError(f"{OWN} and {CLIENT} differ: the server would refuse its own clients. Set both alike, or none")
    if own is None and not os.environ.get("PREFECT_API_URL"):
        own = client  # with an address beside it, it is meant for that server
    if own is not None and not (own.isascii() and own.isprintable() and own == own.strip()):
        raise InputError(f"{OWN} may hold printable ASCII without spaces around it: Prefect compares nothing else")
    return own


def credential_of(home: Path) -> str:
    """Return the credential of what runs in this home. Raises InputError for one that is missing or open to others."""
    file = home / FILE
    try:
        state, text = file.stat(), file.read_text().strip()
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file}, the credential of Prefect's server, cannot be read ({error}): `nr down`, then `nr up`"
        ) from None
    if state.st_mode & OTHERS or state.st_uid != os.geteuid() or not text:
        raise InputError(f"{file} is empty or open to other users: `nr down`, then `nr up`, which makes a new one")
    return text


def credential_for(home: Path) -> str:
    """Return the credential of a server that is to start in this home: the user's own, the home's, or a new one."""
    make_private(home)
    own = own_credential()
    if own is not None:
        return own
    with FileLock(home / f"{FILE}.lock"):  # of two at once, the second finds what the first has made
        try:
            return credential_of(home)
        except InputError:
            return keep(home, f"{USER}:{os.urandom(24).hex()}")


def keep(home: Path, credential: str) -> str:
    """Write the credential where `credential_of` finds it, and return it."""
    new = home / f".{FILE}.{os.getpid()}.partial"
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(credential)
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(home / FILE)
    return credential


def server_settings(credential: str, url: str, hosts: Sequence[str] = ()) -> dict[str, str]:
    """Return Prefect's settings of a server at `url`: it asks for the credential and a CSRF token, and names no origin
    but its own. Of a setting with two names both are given: the first counts.
    """
    origins = ",".join(dict.fromkeys([url, *own_origins()]))
    return {
        OWN: credential,
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        **dict.fromkeys(ORIGINS, origins),
        # Relative: whoever opens the pages elsewhere asks there, and not at an address of this machine.
        "PREFECT_UI_API_URL": "/api",
        "PREFECT_SERVER_UI_API_URL": "/api",
        ALLOWED_HOSTS: " ".join(hosts),
    }


def own_origins() -> list[str]:
    """Return origins that the user lets Prefect's API be asked from; `*`, Prefect's default, would let any page ask."""
    named = next(filter(None, (os.environ.get(name) for name in ORIGINS)), "")
    return [origin for origin in map(str.strip, named.split(",")) if origin not in ("", "*")]


def client_settings(credential: str, url: str) -> dict[str, str]:
    """Return Prefect's settings of whoever talks to our server at `url`: never through a proxy."""
    return {
        "PREFECT_API_URL": f"{url}/api",
        CLIENT: credential,
        "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "true",
        **without_proxy(url),
    }
