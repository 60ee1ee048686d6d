"""A Prefect server, its deployments and a worker, with all state in one folder: what `nr up` and the demo start."""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from filelock import FileLock
from packaging.requirements import Requirement

from flows.services.access import (
    OWN,
    client_settings,
    credential_for,
    credential_of,
    keep,
    make_private,
    own_credential,
    server_settings,
)
from flows.services.addresses import (
    ALLOWED_HOSTS,
    LOOPBACK,
    LOOPBACK_NAMES,
    REACHED_AT,
    address,
    hosts_of,
    refuse_unusable,
    refuse_unusable_proxies,
)
from flows.services.deployments import POOL, deploy, read, refuse_absent_flows
from flows.services.killed_runs import end_orphaned_runs
from flows.services.prefect_api import Api
from flows.services.prefect_processes import end_session, prefect_of, runs_prefect
from pipelines.workers.child_processes import python_command, python_environment
from storage.errors import InputError
from storage.files import DamagedFile, write_atomically

START_SECONDS = 120  # the first start also migrates Prefect's database; slow machines take a minute
STOP_SECONDS = 5  # a worker ignores its first signal while it is busy: wait this long, then insist
STATE = "services.json"
PACKAGES = ("flows", "pipelines", "nr_core", "storage")
ENDED = ["COMPLETED", "FAILED", "CANCELLED", "CRASHED"]


Say = Callable[[str], None]


def _nothing(said: str) -> None:
    pass


def environment(home: Path) -> dict[str, str]:
    """Return Prefect's settings for all that we start: state in `home`, nothing sent anywhere."""
    return {
        "PREFECT_HOME": str(home.resolve()),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "pipelines,storage,flows",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": str(START_SECONDS),
    }


@dataclass(frozen=True)
class Services:
    """Record of what was started: process ids, where it listens and the folder with state and logs."""

    home: str
    port: int
    server_pid: int
    worker_pid: int | None  # None until it is started: who is killed before that leaves the server
    host: str = LOOPBACK

    @property
    def url(self) -> str:
        return address(self.host, self.port)

    @property
    def settings(self) -> dict[str, str]:
        """Return settings that make Prefect's clients talk to this server, as environment variables."""
        return {**environment(Path(self.home)), **client_settings(credential_of(Path(self.home)), self.url)}

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.settings}

    @property
    def api(self) -> Api:
        return Api(f"{self.url}/api", credential_of(Path(self.home)))

    def is_at(self, api: str) -> bool:
        """Tell whether an address of Prefect's API is this server's, by whatever name of loopback."""
        try:
            named, port = urlsplit(api).hostname, urlsplit(api).port
        except ValueError:
            return False
        same_host = named == urlsplit(self.url).hostname or {named, self.host} <= LOOPBACK_NAMES
        return same_host and port == self.port

    def is_healthy(self) -> bool:
        return Api(f"{self.url}/api", "").answers()

    def workers(self) -> list[dict[str, Any]]:
        """Return the workers that the server knows of, with their `status`."""
        return list(self.api.ask("POST", f"work_pools/{POOL}/workers/filter", {}))

    def old_runs(self, days: float) -> list[str]:
        """Return ids of flow runs that ended more than `days` ago, of whatever outcome; at most 200, the API's page."""
        before = (datetime.now(UTC) - timedelta(days=days)).isoformat()
        runs = {"end_time": {"before_": before}, "state": {"type": {"any_": ENDED}}}
        return [run["id"] for run in self.api.ask("POST", "flow_runs/filter", {"flow_runs": runs})]

    def delete_runs(self, ids: Sequence[str]) -> None:
        api = self.api
        for run in ids:
            api.ask("DELETE", f"flow_runs/{run}")


def up(
    home: Path, port: int, project: Path, host: str = LOOPBACK, *, hosts: Sequence[str] = (), say: Say = _nothing
) -> Services:
    """Start what does not run yet and deploy `project`/prefect.yaml; idempotent, also when called twice at once.

    hosts: further names that the server answers to; say: is told each step before it begins.
    """
    refuse_project(project)
    refuse_unusable_proxies()
    make_private(home)
    with FileLock(home / "up.lock"):
        services = running(home)
        if services is None:
            return start(home, port, project, host=host, hosts=hosts, say=say)
        if own_credential() not in (None, credential_of(home)):
            raise InputError(f"the server at {services.url} has another credential than {OWN}: `nr down`, then `nr up`")
        say(f"Prefect's server runs at {services.url}; deploying {project / 'prefect.yaml'} ...")
        deploy(project, home, services.api, services.environment, say)
        return services


def start(
    home: Path,
    port: int,
    project: Path,
    *,
    host: str = LOOPBACK,
    hosts: Sequence[str] = (),
    worker_output: int | None = None,
    say: Say = _nothing,
) -> Services:
    """Start server and worker, deploy `project`/prefect.yaml, and return once runs are taken.

    Raises:
        InputError: the port is taken, or one of the processes ended; the sentence names its log.
    """
    refuse_project(project)
    refuse_unusable_proxies()
    make_private(home)
    stop(home)  # what is left of services that no longer answer
    refuse_unusable(host, port, "Prefect's server", "--port")
    credential, url = keep(home, credential_for(home)), address(host, port)
    clients = {**os.environ, **environment(home), **client_settings(credential, url)}
    names = hosts_of([*hosts, os.environ.get(ALLOWED_HOSTS, ""), REACHED_AT.get(host, host)])
    say(f"starting Prefect's server at {url} (log: {home / 'server.log'}) ...")
    keeper = python_command("flows.services.prefect_processes", host, str(port))
    server = _spawn(keeper, {**clients, **server_settings(credential, url, names)}, home / "server.log")
    worker, api = None, Api(f"{url}/api", credential)
    services = Services(str(home), port, server.pid, None, host)
    write_atomically(home / STATE, json.dumps(asdict(services)))
    try:
        _wait_for(api, "health", server, home / "server.log")
        end_orphaned_runs(api, of_stopped_worker=True)
        say(f"starting its worker (log: {home / 'worker.log'}) ...")
        work = prefect("worker", "start", "--pool", POOL, "--type", "process", "--name", POOL)
        worker = _spawn(work, clients, home / "worker.log", worker_output)
        # The worker makes the pool, which deployments need.
        _wait_for(api, f"work_pools/{POOL}", worker, home / "worker.log")
        say(f"deploying {project / 'prefect.yaml'} ...")
        deploy(project, home, api, clients, say)
    except BaseException:  # nor does an interrupt leave half of the services behind
        for process in (worker, server):
            if process is not None:
                end_session(process.pid, STOP_SECONDS, process)
        (home / STATE).unlink(missing_ok=True)
        raise
    services = replace(services, worker_pid=worker.pid)
    write_atomically(home / STATE, json.dumps(asdict(services)))
    return services


def refuse_project(project: Path) -> None:
    """Refuse before anything is started a folder that cannot be deployed, or whose files would be imported for ours."""
    if not (project / "prefect.yaml").is_file():
        raise InputError(
            f"there is no prefect.yaml in {project}: start this in a folder that has one, as `nr init` makes it, or a "
            "checkout of the project"
        )
    refuse_absent_flows(project / "prefect.yaml", read(project / "prefect.yaml"))
    # Prefect looks for what a flow imports in this folder before it asks the installation.
    ours = [project / f"{package}.py" for package in PACKAGES if not (project / package).is_dir()]
    theirs = [place for name in _needed() for place in (project / f"{name}.py", project / name / "__init__.py")]
    for place in (*ours, *theirs):
        if place.is_file():
            named = place.parent if place.name == "__init__.py" else place
            raise InputError(
                f"{named} has the name of a package that flows import, and would be taken for it: rename it"
            )


@cache  # looking through what is installed takes half a second
def _needed() -> tuple[str, ...]:
    """Return the names under which the packages are imported that this one cannot do without."""
    wanted = [Requirement(text) for text in requires("neutral-residues") or []]
    needed = {_plain(one.name) for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})}
    return tuple(name for name, owners in packages_distributions().items() if needed & set(map(_plain, owners)))


def _plain(distribution: str) -> str:
    return distribution.lower().replace("-", "_")


def running(home: Path) -> Services | None:
    """Return the services that were started in this folder, if both live and answer."""
    services = state_of(home)
    if services is None or services.worker_pid is None:
        return None
    alive = runs_prefect(services.server_pid) and runs_prefect(services.worker_pid)
    return services if alive and services.is_healthy() else None


def state_of(home: Path) -> Services | None:
    """Return what was started. A damaged file is none, as after a power cut, unless something of it lives: a second
    server on its database would not do. Raises DamagedFile then."""
    try:
        return Services(**json.loads((home / STATE).read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError, RecursionError) as error:
        if not (left := prefect_of(home)):
            return None
        pids = " ".join(map(str, left))
        raise DamagedFile(
            f"{home / STATE} is damaged, and what it tells of still runs: `kill {pids}`, delete the file, then `nr up`"
        ) from error


def stop(home: Path, grace: float = STOP_SECONDS) -> bool:
    """Stop flow runs, worker, server; False if none were started here. `grace`: seconds from signal to signal."""
    services = state_of(home)
    if services is None:
        return False
    if services.worker_pid is not None and runs_prefect(services.worker_pid):
        # In sessions of their own, they outlive the worker. While the server lives they can say that they have stopped;
        # the trainings of one that has no time left save when it is gone.
        runs = psutil.Process(services.worker_pid).children()
        for run in runs:
            with contextlib.suppress(psutil.NoSuchProcess):
                run.terminate()
        end_session(services.worker_pid, grace)
        for run in psutil.wait_procs(runs, timeout=grace)[1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                run.kill()
    if runs_prefect(services.server_pid):
        end_session(services.server_pid, grace)
    (home / STATE).unlink(missing_ok=True)
    return True


def prefect(*arguments: str) -> list[str]:
    """Return the command of Prefect's own, whose children too leave the current folder's modules alone."""
    return python_command("prefect", *arguments)


def _spawn(
    command: list[str], everything: Mapping[str, str], log: Path, output: int | None = None
) -> subprocess.Popen[bytes]:
    with log.open("ab") as stream:
        # A session of its own: an interrupt at the terminal reaches us, and we stop the services in order.
        return subprocess.Popen(
            command,
            env={**everything, **python_environment()},
            stdin=subprocess.DEVNULL,
            stdout=stream if output is None else output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_for(api: Api, path: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not api.answers(path):
        if process.poll() is not None:
            raise InputError(
                f"Prefect ended with exit code {process.returncode} before {api.url}/{path} answered: see {log}"
            )
        if time.monotonic() > deadline:
            raise InputError(f"{api.url}/{path} did not answer within {START_SECONDS} s: see {log}")
        time.sleep(0.2)
