"""Reads a user's own configuration of Prefect: its variables, and the files that Prefect would read for it.

Prefect reads profiles.toml in PREFECT_HOME, and prefect.toml, pyproject.toml and .env in the current folder. We set
PREFECT_HOME for what we start, so what those files say of servers has to be found out before.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from flows.services.access import CLIENT, OWN
from flows.services.prefect_api import answer_of, basic
from pipelines.workers.child_processes import python_command, python_environment
from storage.errors import InputError

API, KEY, PROFILE, PROFILES = "PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH"
NAMES = (API, CLIENT, KEY, OWN)
OK, UNAUTHORIZED = 200, 401


def take_own_settings() -> str | None:
    """Set the variables for what the user's files say of servers and credentials; return their address, or None.

    Raises InputError for a profile that is not there, and for files that Prefect cannot read.
    """
    file = next(_files(), None)
    if file is not None:
        for name, value in _told_by_prefect(file).items():
            os.environ.setdefault(name, value)
    profile = os.environ.pop(PROFILE, None)  # it is in the user's file, and not in the home that we set
    if profile and PROFILES in os.environ:
        os.environ[PROFILE] = profile
    return os.environ.get(API) or None


def refuse_dead(api: str) -> None:
    """Raise InputError unless a Prefect server answers there, to the credential that is set."""
    credential, key = os.environ.get(CLIENT), os.environ.get(KEY)
    login = basic(credential) if credential else f"Bearer {key}" if key else None
    health = answer_of(f"{api.rstrip('/')}/health", login)
    if health is None:
        raise InputError(
            f"{API} is {api}, and no server answers there: start it (`nr up`), or `unset {API} {CLIENT}` (or the same "
            "in Prefect's profile), and this command starts a server of its own"
        )
    asked = answer_of(f"{api.rstrip('/')}/admin/version", login) if health == OK else health
    if asked == UNAUTHORIZED:
        raise InputError(
            f"the Prefect server at {api} refuses the credential in {CLIENT}: `nr up` prints the right one"
        )
    if health != OK:
        raise InputError(f"{API} is {api}, where something answers with status {health}: it is no Prefect server")


def _files() -> Iterator[Path]:
    """Yield the files that set something, of those that Prefect would read."""
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    profiles = Path(os.environ.get(PROFILES) or home / "profiles.toml")
    if os.environ.get(PROFILE):
        yield profiles
    marks = {profiles: b"profiles.", Path("prefect.toml"): b"=", Path(".env"): b"PREFECT_",
             Path("pyproject.toml"): b"tool.prefect"}  # fmt: skip
    for path, mark in marks.items():
        try:
            if path.is_file() and mark in path.read_bytes():
                yield path
        except OSError as error:
            raise InputError(f"{path}, of Prefect's configuration, cannot be read: {error.strerror}") from None


def _told_by_prefect(file: Path) -> dict[str, str]:
    command = python_command("flows.services.user_prefect_settings")
    done = subprocess.run(command, env={**os.environ, **python_environment()}, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise InputError(f"Prefect cannot read its configuration ({file}, or a file beside it): {reason}")
    told: dict[str, str | None] = json.loads(done.stdout.splitlines()[-1])
    return {name: value for name, value in told.items() if value}


def _tell() -> None:
    """Run in a process of its own, in which Prefect reads its files as in any other."""
    from prefect.settings import get_current_settings, load_profiles

    profile = os.environ.get(PROFILE)
    if profile and profile not in load_profiles():
        raise SystemExit(f"{PROFILE} is {profile}, and there is no profile of that name")
    settings = get_current_settings()
    secrets = (settings.api.auth_string, settings.api.key, settings.server.api.auth_string)
    values = [settings.api.url, *(secret.get_secret_value() if secret else None for secret in secrets)]
    print(json.dumps(dict(zip(NAMES, values, strict=True))))


if __name__ == "__main__":
    _tell()
