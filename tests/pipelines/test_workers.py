"""Worker processes: what they import, and what their death costs."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.documents import process_units
from pipelines.settings import DocumentSettings, WarcSource
from pipelines.unit_report import UnitReport
from pipelines.work_units import WorkUnit, list_work_units
from storage.workspace import Workspace
from tests.pipelines.warc_files import ENGLISH, Page, html, prose

WriteWarc = Callable[..., Path]

# A program such as a Prefect worker: its __main__ is slow to import and brings prefect.
MAIN = """
import json, sys
import prefect
with open("imports", "a") as imports:
    imports.write(__name__ + "\\n")
from pipelines.documents import process_units
from pipelines.settings import DocumentSettings
from pipelines.work_units import WorkUnit
from storage.workspace import Workspace

task = json.load(open("task.json"))
units = [WorkUnit(**unit) for unit in task["units"]]
settings = DocumentSettings(**task["settings"])
process_units(units, settings, Workspace("workspace"), 2, lambda report: print(report.status))
"""
# Python imports this at the start of every process.
SITECUSTOMIZE = """
import atexit, json, os, sys
def dump():
    with open(f"modules-{os.getpid()}.json", "w") as file:
        json.dump([sys.orig_argv, sorted(sys.modules)], file)
atexit.register(dump)
"""


def unit(path: Path, unit_id: str) -> WorkUnit:
    return WorkUnit(unit_id, "crawl", "warc", str(path), 0, {})


def start_main(folder: Path, units: list[WorkUnit], settings: DocumentSettings) -> "subprocess.Popen[str]":
    (folder / "path" / "prefect").mkdir(parents=True)
    (folder / "path" / "prefect" / "__init__.py").write_text("")
    (folder / "path" / "sitecustomize.py").write_text(SITECUSTOMIZE)
    (folder / "main.py").write_text(MAIN)
    fields = [{name: getattr(one, name) for name in WorkUnit.__slots__} for one in units]
    (folder / "task.json").write_text(json.dumps({"units": fields, "settings": settings.model_dump()}))
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder / "path"), str(root)])}
    return subprocess.Popen([sys.executable, "main.py"], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)


def children(pid: int) -> list[int]:
    """Processes whose parent is `pid`, by /proc."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(status.parent.name))
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_children_import_neither_prefect_nor_main(
    write_warc: WriteWarc, tmp_path: Path, document_settings: DocumentSettings
) -> None:
    units = [unit(write_warc([Page(html(prose(ENGLISH, n)))], f"{n}.warc.gz"), f"unit{n}") for n in range(3)]
    with start_main(tmp_path, units, document_settings) as main:
        assert main.stdout is not None
        assert main.stdout.read().split() == ["done"] * 3
    assert (tmp_path / "imports").read_text().split() == ["__main__"]
    dumps = [json.loads(file.read_text()) for file in tmp_path.glob("modules-*.json")]
    workers = [modules for argv, modules in dumps if "pipelines.worker" in argv]
    assert len(dumps) == 3
    assert len(workers) == 2
    assert all("prefect" not in modules and "resiliparse" in modules for modules in workers)


def test_a_killed_child_costs_its_unit_only_and_the_next_call_retries_it(
    write_warc: WriteWarc, tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    paths = [write_warc([Page(html(prose(ENGLISH, n)))], f"{n}.warc.gz") for n in range(3)]
    stuck = tmp_path / "crawl" / "1.warc.gz"
    content = stuck.read_bytes()
    stuck.unlink()
    os.mkfifo(stuck)  # opening it blocks: the child is in the middle of this unit until it is killed
    units = [unit(path, f"unit{n}") for n, path in enumerate(paths)]

    def kill_after_the_first(report: UnitReport) -> None:
        if report.unit_id == "unit0":
            for child in children(os.getpid()):
                os.kill(child, signal.SIGKILL)

    reports = process_units(units, document_settings, workspace, 1, kill_after_the_first)
    assert [report.status for report in reports] == ["done", "failed", "done"]
    assert reports[1].error is not None
    assert "SIGKILL" in reports[1].error
    stuck.unlink()
    stuck.write_bytes(content)
    reports = process_units(units, document_settings, workspace, 1, lambda report: None)
    assert [(report.status, report.attempts) for report in reports] == [("done", 1), ("done", 2), ("done", 1)]


def test_a_child_that_gets_no_further_is_ended(
    write_warc: WriteWarc,
    tmp_path: Path,
    workspace: Workspace,
    document_settings: DocumentSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipelines.pool.RECORD_SECONDS", 2)
    path = write_warc([Page(html(prose(ENGLISH, 1)))])
    os.mkfifo(tmp_path / "stuck.warc")  # opening it blocks, as a page could that hangs in native code
    units = [unit(tmp_path / "stuck.warc", "stuck"), unit(path, "whole")]
    stuck, whole = process_units(units, document_settings, workspace, 1, lambda report: None)
    assert (stuck.status, whole.status) == ("failed", "done")
    assert stuck.error == "the worker process was ended: it got no further for 2 s, in one record of the file"


def test_children_end_when_their_parent_is_killed(tmp_path: Path, document_settings: DocumentSettings) -> None:
    os.mkfifo(tmp_path / "stuck.warc")
    with start_main(tmp_path, [unit(tmp_path / "stuck.warc", "unit")], document_settings) as main:
        wait_until(lambda: len(children(main.pid)) == 1)
        [child] = children(main.pid)
        main.kill()
    wait_until(lambda: not Path(f"/proc/{child}").exists())


def test_stopping_early_ends_the_children(
    write_warc: WriteWarc, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    path = write_warc([Page(html(prose(ENGLISH, 1)))])
    units = list_work_units({"crawl": WarcSource(paths=[str(path)])}, workspace)
    before = set(children(os.getpid()))

    def interrupt(report: UnitReport) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process_units(units, document_settings, workspace, 2, interrupt)
    assert set(children(os.getpid())) == before
