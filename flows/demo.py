"""`make demo`: the main job through a Prefect server of its own, from the sample crawl to the report."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from flows.cli.app import INTERRUPTED, SENTENCE
from flows.cli.table import print_table
from flows.config.study import load_config
from flows.report import report_file
from flows.services.access import make_private
from flows.services.addresses import free_port
from flows.services.server import prefect, running, start, stop
from flows.services.user_prefect_settings import take_own_settings
from storage.errors import InputError
from storage.query import query
from storage.workspace import Workspace

HOME = Path(".prefect/demo")
INTERRUPT_GRACE = 1.0  # seconds that worker and server each have to end by themselves when somebody waits
TABLE = """SELECT name, seed, round(learning, 3) AS learning, round(forgetting, 3) AS forgetting,
       extra_parameters AS parameters, round(seconds) AS seconds
FROM learning_vs_forgetting ORDER BY forgetting, seed"""


def main() -> int:
    """Start everything, run the deployment extend-language/demo, show the result, stop everything."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    began = time.monotonic()
    if running(HOME):
        raise InputError(f"a demo is running in this folder already: wait for it, or `nr down --home {HOME}`")
    stop(HOME)  # what is left of services that no longer answer
    shutil.rmtree(HOME, ignore_errors=True)  # a server of its own each time: no run of an interrupted demo waits in it
    try:
        print("starting a Prefect server and a worker ...", flush=True)
        take_own_settings()
        make_private(HOME.parent)
        services = start(HOME, free_port(), Path.cwd(), worker_output=sys.stdout.fileno())
        print(f"orchestration: {time.monotonic() - began:.0f} s, {services.url}", flush=True)
        watched = prefect("deployment", "run", "extend-language/demo", "--watch")
        outcome = subprocess.run(watched, env=services.environment, stdout=subprocess.DEVNULL)
    except KeyboardInterrupt:
        print(SENTENCE, file=sys.stderr, flush=True)
        stop(HOME, grace=INTERRUPT_GRACE)
        return INTERRUPTED
    finally:
        stop(HOME)
    if outcome.returncode:
        print("the flow failed: its log lines above say why", file=sys.stderr)
        return 1
    show_result()
    print(f"in all: {time.monotonic() - began:.0f} s")
    return 0


def show_result() -> None:
    config = load_config("configs/demo.yaml")
    workspace = Workspace(config.workspace)
    print_table(query(workspace, TABLE), title="learning and forgetting, bits per byte of held-out text")
    print('the same: nr sql "from learning_vs_forgetting"')
    print(f"report:   {report_file(workspace, config.name)}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"error: {error}")
