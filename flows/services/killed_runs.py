"""Marks flow runs whose process was killed: else they stand in RUNNING and hold their deployment's slot; has those told
that fail, crash or are late.

Each run has a label with its machine and process. A database may serve several machines, and each of them looks at its
own processes only.

Not Prefect's heartbeats and an automation: those come every 30 s at most, and a run is told dead once some are missing,
while it holds its slot; here the next start tells it at once.
"""

import logging
import os
import socket
import time
from typing import TYPE_CHECKING, Any, cast

import psutil

from flows.services.prefect_api import Api

if TYPE_CHECKING:
    from prefect import Flow, State
    from prefect.client.schemas.objects import FlowRun

LABEL = "neutral-residues.process"
UNFINISHED = {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}
WAITING = {"name": {"any_": ["AwaitingConcurrencySlot"]}}
MOST_CLOCK_STEP = 60.0  # seconds by which setting the machine's clock may move when a process seems to have begun
AT_WORK = ("RUNNING", "CANCELLING")
CRASHED = {"type": "CRASHED", "message": "its process has gone; run it again to go on"}


def record_process(flow: "Flow[..., Any]", flow_run: "FlowRun", state: "State[Any]") -> None:
    """Record, as a hook of every flow that begins to run, which process does it, and since when."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        client.update_flow_run_labels(flow_run.id, {LABEL: f"{socket.gethostname()} {os.getpid()} {time.time():.0f}"})


def end_orphaned_runs(api: Api, *, of_stopped_worker: bool = False) -> None:
    """Mark the runs of this machine whose process has gone as crashed.

    of_stopped_worker: also those of deployments that have none yet, since the worker was stopped that had taken them.
    """
    for run in orphaned_runs(api, of_stopped_worker=of_stopped_worker):
        api.ask("POST", f"flow_runs/{run}/set_state", {"state": CRASHED, "force": True})


def orphaned_runs(api: Api, *, of_stopped_worker: bool = False) -> list[str]:
    """Return ids of the runs of this machine whose process has gone; of_stopped_worker: as above."""
    found = []
    for state in (UNFINISHED, WAITING):
        for run in api.ask("POST", "flow_runs/filter", {"flow_runs": {"state": state}}):
            # A run that is tried again still has the label of the process before, until its own begins.
            process = (run["labels"] or {}).get(LABEL) if run["state_type"] in AT_WORK else None
            if _has_gone(process) if process else of_stopped_worker and run["deployment_id"]:
                found.append(run["id"])
    return found


def _has_gone(process: str) -> bool:
    host, number, began = process.split()
    if host != socket.gethostname():
        return False
    try:
        return psutil.Process(int(number)).create_time() > float(began) + MOST_CLOCK_STEP  # another, of the same number
    except psutil.NoSuchProcess:
        return True


def _is_not_of_the_hook(record: logging.LogRecord) -> bool:
    """Tell whether a record is none of the two lines a flow run in which Prefect says that the hook runs and has
    run.
    """
    return record.levelno > logging.INFO or f"ook '{record_process.__name__}'" not in record.getMessage()


logging.getLogger("prefect.engine").addFilter(_is_not_of_the_hook)


# What is called of runs that end badly. The address may hold a token, as those of chats do: it goes into a block of
# Prefect's, which stores it encrypted, and nowhere else.

ALERTS = "nr-alerts"
TOLD = {"prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut", "prefect.flow-run.Late"}
# Prefect fills this in for each event.
MESSAGE = """{"text": {{ (flow.name ~ " " ~ flow_run.name ~ ": " ~ flow_run.state.name ~ ". "
    ~ (flow_run.state.message or "")) | tojson }}}"""


def call_when_runs_fail(url: str) -> None:
    """Make the automation of Prefect's server that calls `url`, or point the one that stands to it."""
    from prefect.automations import Automation
    from prefect.blocks.webhook import Webhook
    from prefect.events.actions import CallWebhook
    from prefect.events.schemas.automations import EventTrigger, Posture

    block = Webhook(method="POST", url=url, headers={"Content-Type": "application/json"})
    block_id = block.save(ALERTS, overwrite=True)
    trigger = EventTrigger(
        match={"prefect.resource.id": "prefect.flow-run.*"}, expect=TOLD, posture=Posture.Reactive, threshold=1
    )
    action = CallWebhook(block_document_id=block_id, payload=MESSAGE)
    automation = Automation(
        name=ALERTS, description="Failed, crashed and late flow runs, to a webhook", trigger=trigger, actions=[action]
    )
    try:
        standing = cast(Automation, Automation.read(name=ALERTS))
    except ValueError:  # there is none of this name
        automation.create()
        return
    automation.id = standing.id
    automation.update()
