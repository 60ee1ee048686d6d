"""Measures what orchestration costs: a refresh with nothing new, a flow's time outside its tasks, empty units.

    python -m benchmarks.orchestration --units 10000 --folder FOLDER
    python -m benchmarks.orchestration --study configs/demo.yaml --folder FOLDER
    python -m benchmarks.orchestration --empty 90000

FOLDER keeps what was read: the second call measures at once. The last line is JSON. overhead_share is the part of the
flow's wall time in which none of its tasks ran; Prefect's start-up is outside of the flow's time.
"""

import argparse
import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import psutil

from flows.services.server import environment
from flows.services.temporary_server import TemporaryServer

for name, value in environment(Path(".prefect")).items():  # as `nr` does, and before Prefect reads it
    os.environ.setdefault(name, value)
SERVER = TemporaryServer(Path(os.environ["PREFECT_HOME"]))
os.environ.update(SERVER.settings)

from prefect import flow, task  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402

from flows.config.study import Config, load_config, parse_config  # noqa: E402
from flows.data_refresh import batches, data_refresh  # noqa: E402
from flows.steps.result_records import record_units  # noqa: E402
from pipelines.documents.cluster_worker import process_units_here  # noqa: E402
from pipelines.documents.stage import documents_key  # noqa: E402
from pipelines.sources.work_units import WorkUnit, list_work_units  # noqa: E402
from storage.workspace import Workspace  # noqa: E402

TEXT = "the garden is full of light and we walk there slowly to see what has grown since the last rain"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, help="finished units of a refresh with nothing new")
    parser.add_argument("--study", help="config of a study that is run from the beginning")
    parser.add_argument("--empty", type=int, help="units of which none does anything")
    parser.add_argument("--folder", type=Path, default=Path("benchmark-orchestration"))
    arguments = parser.parse_args()
    SERVER.wait()
    warm_up()
    figures: dict[str, Any] = {"load": round(psutil.getloadavg()[0], 1), "cores": psutil.cpu_count()}
    if arguments.units:
        figures |= empty_refresh(arguments.folder, arguments.units)
    if arguments.study:
        figures |= overhead(arguments.study, arguments.folder)
    if arguments.empty:
        figures |= empty_units(arguments.empty)
    print(json.dumps(figures))


@flow
def warm_up() -> None:
    """Prefect's start-up, which is not counted."""


def empty_refresh(folder: Path, units: int) -> dict[str, Any]:
    config = _many_files(folder.resolve(), units)
    if not Path(config.workspace, "corpora", "english", "CURRENT").exists():
        _finish_units(config)
        data_refresh(config)
    cpu, started = time.process_time(), time.monotonic()
    data_refresh(config)
    seconds = time.monotonic() - started
    return {
        "finished_units": units,
        "empty_refresh_seconds": round(seconds, 2),
        "empty_refresh_cpu_seconds": round(time.process_time() - cpu, 2),
    }


def _finish_units(config: Config) -> None:
    """Do what batches of a flow would do, without a pool that starts anew for each."""
    workspace = Workspace(config.workspace)
    units = list_work_units(config.sources, workspace, config.fetch)
    reports = process_units_here(units, config.documents, workspace, config.fetch)
    record_units(workspace, documents_key(config.documents), reports)


def _many_files(folder: Path, units: int) -> Config:
    texts = folder / f"texts-{units}"
    texts.mkdir(parents=True, exist_ok=True)
    words = TEXT.split()
    for number in range(len(list(texts.iterdir())), units):
        # Words in an order of its own make each text another.
        order = [words[(number // len(words) ** place + place) % len(words)] for place in range(60)]
        (texts / f"{number:06d}.jsonl").write_text(json.dumps({"text": f"{number} " + " ".join(order)}) + "\n")
    source = {"kind": "text", "paths": [f"{texts}/*.jsonl"]}
    corpus = {"language": "eng", "text_domain": "any", "sources": ["texts"], "min_characters": 1}
    corpus |= {"min_language_score": 0.0, "split_by": "document"}
    return parse_config(
        {
            "language": "eng",
            "workspace": str(folder / f"workspace-{units}"),
            "sources": {"texts": source},
            "corpora": {"english": corpus},
        },
        "benchmark",
    )


def overhead(study: str, folder: Path) -> dict[str, Any]:
    from flows.extend_language import extend_language

    config = load_config(study, {"workspace": str(folder.resolve() / "study")})
    state = extend_language(config, return_state=True)
    wall, busy = asyncio.run(_times(state.state_details.flow_run_id))
    return {"study_seconds": round(wall, 1), "overhead_share": round(1 - busy / wall, 4)}


async def _times(flow_run_id: Any) -> tuple[float, float]:
    """Seconds of a flow run and its sub-flows, and of those the ones in which some task ran."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId

    async with get_client() as client:
        run = await client.read_flow_run(flow_run_id)
        children = await client.read_flow_runs(
            flow_run_filter=FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[flow_run_id]))
        )
        spans = []
        for owner in (flow_run_id, *(child.id for child in children)):
            from prefect.client.schemas.filters import FlowRunFilterId

            tasks = await client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[owner])))
            # The task run that stands for a sub-flow spans it whole.
            spans += [(t.start_time, t.end_time) for t in tasks if not t.state.state_details.child_flow_run_id]
    busy, until = 0.0, None
    for start, end in sorted(span for span in spans if all(span)):
        begin = start if until is None else max(start, until)
        busy += max(0.0, (end - begin).total_seconds())
        until = end if until is None else max(until, end)
    return (run.end_time - run.start_time).total_seconds(), busy


@task(cache_policy=NO_CACHE)
def read_nothing(units: list[WorkUnit]) -> None:
    pass


@flow
def empty(units: int, workers: int) -> int:
    listed = [WorkUnit(f"{number:016x}", "s", "warc", f"/crawl/{number}.gz", 1, {}) for number in range(units)]
    parts = batches(listed, workers)
    for part in parts:
        read_nothing(part)
    return len(parts)


def empty_units(units: int) -> dict[str, Any]:
    cpu, started = time.process_time(), time.monotonic()
    tasks = empty(units, 16)
    return {
        "empty_units": units,
        "task_runs": tasks,
        "seconds": round(time.monotonic() - started, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
    }


if __name__ == "__main__":
    main()
