"""Calls an address of yours when a flow run fails, crashes or is late: an automation of Prefect's server.

The address may hold a token, as those of chats do: it goes into a block of Prefect's, which stores it encrypted, and
nowhere else.
"""

from typing import cast

from prefect.automations import Automation
from prefect.blocks.webhook import Webhook
from prefect.events.actions import CallWebhook
from prefect.events.schemas.automations import EventTrigger, Posture

NAME = "nr-alerts"
EVENTS = {"prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut", "prefect.flow-run.Late"}
# Prefect fills this in for each event.
MESSAGE = """{"text": {{ (flow.name ~ " " ~ flow_run.name ~ ": " ~ flow_run.state.name ~ ". "
    ~ (flow_run.state.message or "")) | tojson }}}"""


def notify(url: str) -> None:
    """Make the automation, or point the one that stands to `url`."""
    block = Webhook(method="POST", url=url, headers={"Content-Type": "application/json"})
    block_id = block.save(NAME, overwrite=True)
    trigger = EventTrigger(
        match={"prefect.resource.id": "prefect.flow-run.*"}, expect=EVENTS, posture=Posture.Reactive, threshold=1
    )
    action = CallWebhook(block_document_id=block_id, payload=MESSAGE)
    automation = Automation(
        name=NAME, description="Failed, crashed and late flow runs, to a webhook", trigger=trigger, actions=[action]
    )
    try:
        standing = cast(Automation, Automation.read(name=NAME))
    except ValueError:  # there is none of this name
        automation.create()
        return
    automation.id = standing.id
    automation.update()
