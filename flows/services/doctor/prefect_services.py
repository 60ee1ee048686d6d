"""Checks of Prefect's server and worker, of who may ask them, and of what `nr up` deploys, each with its fix."""

import os
from pathlib import Path

from flows.maintenance.workspace_health import Wrong, folder_wrong
from flows.services import report_server, server, user_prefect_settings
from flows.services.access import FILE, OTHERS, credential_of, own_credential
from flows.services.addresses import LOOPBACK, refuse_unusable
from flows.services.deployments import FILE as PREFECT_FILE
from flows.services.killed_runs import orphaned_runs
from storage.errors import InputError

DATABASE, SQLITE = "prefect.db", b"SQLite format 3\0"  # of Prefect's server; what such a file begins with


def address(home: Path) -> tuple[str, Wrong | None]:
    """Tell the server that PREFECT_API_URL or a file of Prefect's names, which the commands then use.

    Raises InputError where it does not answer.
    """
    services = server.running(home)
    api = os.environ.get(user_prefect_settings.API) or user_prefect_settings.take_own_settings()
    if not api or (services and api == f"{services.url}/api"):
        return "commands use the server of `nr up`, or one of their own", None
    user_prefect_settings.refuse_dead(api)
    if services:
        says = f"{api}, and not that of `nr up`, {services.url}"
        return "", Wrong(says, f"unset {user_prefect_settings.API}")
    return f"{api} answers, and takes the credential", None


def credential(home: Path) -> tuple[str, Wrong | None]:
    """Tell whether the credential of the server is the user's alone. Raises InputError for one that cannot be used."""
    own_credential()
    if wrong := folder_wrong(home):
        return "", wrong
    if home.is_dir() and home.stat().st_mode & OTHERS:
        return "", Wrong(f"{home} is open to other users", f"chmod 700 {home}, or nr up")
    if not (home / FILE).exists() and not server.running(home):
        return "none yet: `nr up` and `nr run` make one", None
    credential_of(home)
    return f"{home / FILE} is yours alone", None


def project() -> tuple[str, Wrong | None]:
    """Look at what `nr up` deploys from the current folder, and at files in it that would be taken for packages."""
    if not Path(PREFECT_FILE).is_file():
        return f"no {PREFECT_FILE} here, which only `nr up` needs", None
    server.refuse_project(Path.cwd())
    return f"{PREFECT_FILE} can be read, and no file beside it has the name of a package", None


def server_here(home: Path, port: int) -> tuple[str, Wrong | None]:
    """Tell whether the server of `nr up` runs, or could be started.

    port: that it is to have; 0: none is tried.
    """
    if services := server.running(home):
        answers = f"answers at {services.url}"
        if orphans := len(orphaned_runs(services.api)):
            says = f"{answers}; {orphans} flow runs stand in it whose process has gone"
            return "", Wrong(says, "nr down, then nr up, which marks them as crashed")
        return answers, None
    if _is_no_database(home / DATABASE):
        new = "move it away: `nr up` makes a new one, without the runs and schedules of the old; workspaces stay"
        return "", Wrong(f"{home / DATABASE} is damaged (no database of SQLite)", new)
    if (home / server.STATE).exists():
        if server.state_of(home) is None:
            return "", Wrong(f"{home / server.STATE} is damaged, and nothing that it told of runs", "nr up")
        return "", Wrong("it was started and has gone, or its worker has", f"nr up; {home}/*.log say why")
    if port and (taken := _taken_port(home, port)):
        return "", taken
    return f"not started; port {port} is free (`nr up` starts it)", None


def _is_no_database(file: Path) -> bool:
    """Return whether a file is no database; an empty one is none yet, and no fault."""
    try:
        with file.open("rb") as stream:
            return stream.read(len(SQLITE)) not in (b"", SQLITE)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _taken_port(home: Path, port: int) -> Wrong | None:
    wanted = [("Prefect's server", "--port", port)]
    if report_server.running(home) is None:
        wanted.append(("the reports", "--reports-port", port + 1))
    for what, option, number in wanted:
        try:
            refuse_unusable(LOOPBACK, number, what, option)
        except InputError as error:
            return Wrong(str(error), f"nr up {option} N, with a free port")
    return None


def worker(home: Path) -> tuple[str, Wrong | None]:
    """Tell whether a worker waits for runs at the server of `nr up`."""
    services = server.running(home)
    if not services:
        return "not started (`nr up` starts it)", None
    online = [worker for worker in services.workers() if worker["status"] == "ONLINE"]
    if not online:
        return "", Wrong("its process lives, but the server has not heard of it", "nr down, then nr up")
    return f"{len(online)} online", None
