"""A Prefect server, its deployments and a worker, with all state in one folder: what `nr up` and the demo start."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import psutil
from filelock import FileLock

from storage.atomic import write_atomically
from storage.errors import InputError

POOL = "nr"
TRAINING_QUEUE = "training"  # of the pool: as many runs at once as there are GPUs, or one
LOOPBACK = "127.0.0.1"
REACHED_AT = {"0.0.0.0": LOOPBACK, "::": "::1"}  # addresses to listen on that nobody can be sent to
START_SECONDS = 120  # the first start also migrates Prefect's database; slow machines take a minute
STOP_SECONDS = 5  # a worker ignores its first signal while it is busy: wait this long, then insist
BUSY, BUSY_SECONDS = 503, 60  # what the server answers while its SQLite is locked, and how long we ask again
STATE = "services.json"
COMMANDS = "commands.lock"  # held by each command whose flow run stands in this folder's database
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


def address(host: str, port: int) -> str:
    """Where what listens on `host` can be asked."""
    host = REACHED_AT.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        return int(listener.getsockname()[1])


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
        return _answers(f"{self.url}/api/health")

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
    server = _spawn(["server", "start", "--host", host, "--port", str(port)], everything, home / "server.log")
    worker = None
    try:
        _wait_for(f"{url}/api/health", server, home / "server.log")
        end_orphaned_runs(f"{url}/api", of_deployments=True)
        with (home / COMMANDS).open("w") as commands:
            if lock_alone(commands):
                end_orphaned_runs(f"{url}/api", of_deployments=False)
        arguments = ["worker", "start", "--pool", POOL, "--type", "process", "--name", POOL]
        worker = _spawn(arguments, everything, home / "worker.log", worker_output)
        # The worker makes the pool, which deployments need.
        _wait_for(f"{url}/api/work_pools/{POOL}", worker, home / "worker.log")
        deploy(project, everything)
        _limit_trainings(f"{url}/api")
    except BaseException:
        for process in (worker, server):
            if process is not None:
                _stop(process.pid, process)
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
    alive = _is_ours(services.server_pid) and _is_ours(services.worker_pid)
    return services if alive and services.is_healthy() else None


def stop(home: Path, patience: float = STOP_SECONDS) -> bool:
    """Stop flow runs, worker, server; False if none were started here. `patience`: seconds from signal to signal."""
    try:
        services = Services(**json.loads((home / STATE).read_text()))
    except FileNotFoundError:
        return False
    if _is_ours(services.worker_pid):
        # In sessions of their own, they outlive the worker. While the server lives they can say that they have stopped;
        # the trainings of one that has no time left save when it is gone.
        runs = psutil.Process(services.worker_pid).children()
        for run in runs:
            with contextlib.suppress(psutil.NoSuchProcess):
                run.terminate()
        _stop(services.worker_pid, patience=patience)
        for run in psutil.wait_procs(runs, timeout=patience)[1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                run.kill()
    if _is_ours(services.server_pid):
        _stop(services.server_pid, patience=patience)
    (home / STATE).unlink(missing_ok=True)
    return True


def prefect(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "prefect", *arguments]


def _spawn(
    arguments: list[str], everything: Mapping[str, str], log: Path, output: int | None = None
) -> subprocess.Popen[bytes]:
    with log.open("ab") as stream:
        # A session of its own: an interrupt at the terminal reaches us, and we stop the services in order.
        return subprocess.Popen(
            prefect(*arguments),
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


def lock_alone(commands: IO[str]) -> bool:
    """Lock the file for this process alone; False if a command is at work."""
    try:
        fcntl.flock(commands, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def at_work(home: Path) -> Iterator[None]:
    """Within, nobody takes the flow runs of commands for orphans."""
    with (home / COMMANDS).open("w") as commands:
        fcntl.flock(commands, fcntl.LOCK_SH)
        yield


def end_orphaned_runs(api: str, *, of_deployments: bool) -> None:
    """Mark runs whose process went away before they ended: those of deployments, whose slot they would hold for ever
    when their worker was stopped, or those of commands."""
    who = "worker" if of_deployments else "command"
    origin = {"deployment_id": {"is_null_": not of_deployments}}
    states = {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}
    waiting = {"name": {"any_": ["AwaitingConcurrencySlot"]}}
    for state in (states, waiting):
        for run in ask("POST", f"{api}/flow_runs/filter", {"flow_runs": {"state": state, **origin}}):
            crashed = {"type": "CRASHED", "message": f"its {who} was stopped; run it again to go on"}
            ask("POST", f"{api}/flow_runs/{run['id']}/set_state", {"state": crashed, "force": True})


def _limit_trainings(api: str) -> None:
    """One training a GPU, or one on a machine without: those that wait are queued, whatever deployment started them."""
    limit = {"concurrency_limit": max(1, len(list(Path("/proc/driver/nvidia/gpus").glob("*"))))}
    queues = ask("POST", f"{api}/work_pools/{POOL}/queues/filter", {})
    if any(queue["name"] == TRAINING_QUEUE for queue in queues):
        ask("PATCH", f"{api}/work_pools/{POOL}/queues/{TRAINING_QUEUE}", limit)
    else:
        ask("POST", f"{api}/work_pools/{POOL}/queues", {"name": TRAINING_QUEUE, **limit})


def ask(method: str, url: str, body: Mapping[str, Any]) -> Any:
    """The answer of Prefect's API, asked again while the server is busy. Raises urllib's HTTPError for a refusal."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=BUSY_SECONDS) as response:
                return json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            if error.code != BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(url):
        if process.poll() is not None:
            raise InputError(f"Prefect ended with exit code {process.returncode} before {url} answered: see {log}")
        if time.monotonic() > deadline:
            raise InputError(f"{url} did not answer within {START_SECONDS} s: see {log}")
        time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def port_is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def _stop(pid: int, process: subprocess.Popen[bytes] | None = None, patience: float = STOP_SECONDS) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if process is not None:
                process.poll()
            if not _is_alive(pid):
                return
            time.sleep(0.1)


def _is_ours(pid: int) -> bool:
    """Whether the process is still the one that was started: after a reboot its number may be anybody's."""
    try:
        return b"prefect" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _is_alive(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        # Reap it where it is a child of ours: a zombie still answers to signals.
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
