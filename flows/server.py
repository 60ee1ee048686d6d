"""A Prefect server, its deployments and a worker, with all state in one folder: what `nr up` and the demo start."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock

from flows.addresses import LOOPBACK, address, port_is_taken
from flows.orphans import end_orphaned_runs
from flows.prefect_api import answers, ask
from flows.processes import end_session, runs_prefect
from storage.atomic import write_atomically
from storage.errors import InputError

POOL = "nr"
TRAINING_QUEUE = "training"  # of the pool: as many runs at once as there are GPUs, or one
START_SECONDS = 120  # the first start also migrates Prefect's database; slow machines take a minute
STOP_SECONDS = 5  # a worker ignores its first signal while it is busy: wait this long, then insist
STATE = "services.json"
ENDED = ["COMPLETED", "FAILED", "CANCELLED", "CRASHED"]


def environment(home: Path, url: str | None = None) -> dict[str, str]:
    """Prefect's settings for all that we start: state in `home`, nothing sent anywhere, its server at `url`."""
    settings = {
        "PREFECT_HOME": str(home.resolve()),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "pipelines,storage,flows",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": str(START_SECONDS),
    }
    if url is not None:
        settings["PREFECT_API_URL"] = f"{url}/api"
    return settings


@dataclass(frozen=True)
class Services:
    """What was started: process ids, where it listens and the folder with state and logs."""

    home: str
    port: int
    server_pid: int
    worker_pid: int
    host: str = LOOPBACK

    @property
    def url(self) -> str:
        return address(self.host, self.port)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **environment(Path(self.home), self.url)}

    def is_healthy(self) -> bool:
        return answers(f"{self.url}/api/health")

    def workers(self) -> list[dict[str, Any]]:
        """The workers that the server knows of, with their `status`."""
        return list(ask("POST", f"{self.url}/api/work_pools/{POOL}/workers/filter", {}))

    def old_runs(self, days: float) -> list[str]:
        """Ids of flow runs that ended more than `days` ago, of whatever outcome; at most 200, the API's page."""
        before = (datetime.now(UTC) - timedelta(days=days)).isoformat()
        runs = {"end_time": {"before_": before}, "state": {"type": {"any_": ENDED}}}
        return [run["id"] for run in ask("POST", f"{self.url}/api/flow_runs/filter", {"flow_runs": runs})]

    def delete_runs(self, ids: Sequence[str]) -> None:
        for run in ids:
            ask("DELETE", f"{self.url}/api/flow_runs/{run}", {})


def up(home: Path, port: int, project: Path, host: str = LOOPBACK) -> Services:
    """Start what does not run yet and deploy `project`/prefect.yaml; called twice, also at once, it does no harm."""
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / "up.lock"):
        services = running(home)
        if services is None:
            return start(home, port, project, host=host)
        deploy(project, services.environment)
        _limit_trainings(f"{services.url}/api")
        return services


def start(home: Path, port: int, project: Path, *, host: str = LOOPBACK, worker_output: int | None = None) -> Services:
    """Start server and worker, deploy `project`/prefect.yaml, and return once runs are taken.

    Raises:
        InputError: the port is taken, or one of the processes ended; the sentence names its log.
    """
    if not (project / "prefect.yaml").is_file():
        raise InputError(f"there is no prefect.yaml in {project}: start this in a checkout of the project")
    home.mkdir(parents=True, exist_ok=True)
    stop(home)  # what is left of services that no longer answer
    if port_is_taken(port):
        raise InputError(f"port {port} is taken by another program: give another one with --port")
    url = address(host, port)
    everything = {**os.environ, **environment(home, url)}
    keep = [sys.executable, "-m", "flows.keep_prefect", "server", "start", "--host", host, "--port", str(port)]
    server = _spawn(keep, everything, home / "server.log")
    worker = None
    try:
        _wait_for(f"{url}/api/health", server, home / "server.log")
        end_orphaned_runs(f"{url}/api", of_stopped_worker=True)
        work = prefect("worker", "start", "--pool", POOL, "--type", "process", "--name", POOL)
        worker = _spawn(work, everything, home / "worker.log", worker_output)
        # The worker makes the pool, which deployments need.
        _wait_for(f"{url}/api/work_pools/{POOL}", worker, home / "worker.log")
        deploy(project, everything)
        _limit_trainings(f"{url}/api")
    except BaseException:  # nor does an interrupt leave half of the services behind
        for process in (worker, server):
            if process is not None:
                end_session(process.pid, STOP_SECONDS, process)
        raise
    services = Services(str(home), port, server.pid, worker.pid, host)
    write_atomically(home / STATE, json.dumps(asdict(services)))
    return services


def running(home: Path) -> Services | None:
    """The services that were started in this folder, if both live and answer."""
    try:
        services = Services(**json.loads((home / STATE).read_text()))
    except FileNotFoundError:
        return None
    alive = runs_prefect(services.server_pid) and runs_prefect(services.worker_pid)
    return services if alive and services.is_healthy() else None


def stop(home: Path, patience: float = STOP_SECONDS) -> bool:
    """Stop flow runs, worker, server; False if none were started here. `patience`: seconds from signal to signal."""
    try:
        services = Services(**json.loads((home / STATE).read_text()))
    except FileNotFoundError:
        return False
    if runs_prefect(services.worker_pid):
        # In sessions of their own, they outlive the worker. While the server lives they can say that they have stopped;
        # the trainings of one that has no time left save when it is gone.
        runs = psutil.Process(services.worker_pid).children()
        for run in runs:
            with contextlib.suppress(psutil.NoSuchProcess):
                run.terminate()
        end_session(services.worker_pid, patience)
        for run in psutil.wait_procs(runs, timeout=patience)[1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                run.kill()
    if runs_prefect(services.server_pid):
        end_session(services.server_pid, patience)
    (home / STATE).unlink(missing_ok=True)
    return True


def prefect(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "prefect", *arguments]


def _spawn(
    command: list[str], everything: Mapping[str, str], log: Path, output: int | None = None
) -> subprocess.Popen[bytes]:
    with log.open("ab") as stream:
        # A session of its own: an interrupt at the terminal reaches us, and we stop the services in order.
        return subprocess.Popen(
            command,
            env=dict(everything),
            stdin=subprocess.DEVNULL,
            stdout=stream if output is None else output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def deploy(project: Path, everything: Mapping[str, str]) -> None:
    done = subprocess.run(
        prefect("--no-prompt", "deploy", "--all"), cwd=project, env=dict(everything), capture_output=True, text=True
    )
    if done.returncode:
        raise InputError(f"{project / 'prefect.yaml'} could not be deployed: {(done.stdout + done.stderr)[-2000:]}")


def _limit_trainings(api: str) -> None:
    """One training a GPU, or one on a machine without: those that wait are queued, whatever deployment started them."""
    limit = {"concurrency_limit": max(1, len(list(Path("/proc/driver/nvidia/gpus").glob("*"))))}
    queues = ask("POST", f"{api}/work_pools/{POOL}/queues/filter", {})
    if any(queue["name"] == TRAINING_QUEUE for queue in queues):
        ask("PATCH", f"{api}/work_pools/{POOL}/queues/{TRAINING_QUEUE}", limit)
    else:
        ask("POST", f"{api}/work_pools/{POOL}/queues", {"name": TRAINING_QUEUE, **limit})


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not answers(url):
        if process.poll() is not None:
            raise InputError(f"Prefect ended with exit code {process.returncode} before {url} answered: see {log}")
        if time.monotonic() > deadline:
            raise InputError(f"{url} did not answer within {START_SECONDS} s: see {log}")
        time.sleep(0.2)
