"""A worker process: units come in as JSON lines on stdin, reports go out as JSON lines on stdout.

Started as `python -m pipelines.workers.worker` and not by multiprocessing, which would import the parent's `__main__`
again: under a Prefect worker that is Prefect. It ends when its stdin closes, and when its parent dies in mid-unit.
A page that hangs in native code, which lets no thread run, ends it too: the kernel's alarm clock is set anew at each
record.
"""

import json
import logging
import os
import signal
import sys
from pathlib import Path

from pipelines.documents.stage import process_unit
from pipelines.settings import DocumentSettings
from pipelines.sources.fetch_unit import fetched_from
from pipelines.sources.work_units import WorkUnit
from pipelines.workers.child_processes import exit_with_parent
from pipelines.workers.shared_position import NOTHING, Poison, ReadingPlace


def main() -> None:
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    task = json.loads(sys.stdin.readline())
    exit_with_parent(task["parent"])
    settings = DocumentSettings.model_validate(task["settings"])
    folder = Path(task["folder"])
    place = ReadingPlace(task.get("place"))

    def on_record(number: int) -> None:
        place.write(number)
        signal.alarm(task["record_seconds"])

    # Reports go to the real stdout; whatever a library prints goes to stderr and cannot be taken for one.
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as reports:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        for line in sys.stdin:
            message = json.loads(line)
            place.write(NOTHING)
            unit, fetched = WorkUnit(**message["unit"]), fetched_from(message["fetched"])
            poison = Poison.of(message["poison"]) if "poison" in message else Poison()
            report = process_unit(unit, settings, folder, fetched, on_record, poison)
            signal.alarm(0)
            print(report.model_dump_json(), file=reports, flush=True)


if __name__ == "__main__":
    main()
