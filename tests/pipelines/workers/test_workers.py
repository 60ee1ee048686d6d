"""Worker processes: what they import, and what their death costs."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pipelines.documents.cluster_worker import process_units_here
from pipelines.documents.stage import process_units
from pipelines.settings import DocumentSettings, FetchSettings, TextSource, WarcSource
from pipelines.sources.work_units import UnitReport, WorkUnit, list_work_units
from storage.workspace import Workspace
from tests.pipelines.warc_files import ENGLISH, Page, html, prose

WriteWarc = Callable[..., Path]

# A program such as a Prefect worker: its __main__ is slow to import and brings prefect.
MAIN = """
import json, sys
import prefect
with open("imports", "a") as imports:
    imports.write(__name__ + "\\n")
from pipelines.documents.stage import process_units
from pipelines.settings import DocumentSettings
from pipelines.sources.work_units import WorkUnit
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
    root = Path(__file__).parents[3]
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
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_children_import_neither_prefect_nor_main(
    write_warc: WriteWarc, tmp_path: Path, document_settings: DocumentSettings
) -> None:
    units = [unit(write_warc([Page(html(prose(ENGLISH, n)))], f"{n}.warc.gz"), f"unit{n}") for n in range(3)]
    with start_main(tmp_path, units, document_settings) as main:
        assert main.stdout is not None
        assert main.stdout.read().split() == ["done"] * 3
    assert (tmp_path / "imports").read_text().split() == ["__main__"]
    dumps = [json.loads(file.read_text()) for file in tmp_path.glob("modules-*.json")]
    workers = [modules for argv, modules in dumps if "pipelines.workers.worker" in argv]
    assert len(dumps) == 3
    assert len(workers) == 2
    assert all("prefect" not in modules and "resiliparse" in modules for modules in workers)


@contextmanager
def killing(path: Path, times: int, before: Callable[[], object] = lambda: None) -> Iterator[list[int]]:
    """Kill so many children of ours, one after the other, as soon as they have `path` open."""
    killed: list[int] = []

    def kill() -> None:
        while len(killed) < times:
            for child in children(os.getpid()):
                if child not in killed and has_open(child, path):
                    before()
                    killed.append(child)
                    os.kill(child, signal.SIGKILL)
            time.sleep(0.02)

    killer = threading.Thread(target=kill)
    killer.start()
    yield killed
    killer.join()


def has_open(process: int, path: Path) -> bool:
    with suppress(OSError):  # it ended meanwhile
        return any(os.readlink(handle) == str(path) for handle in Path(f"/proc/{process}/fd").iterdir())
    return False


@pytest.mark.slow
def test_a_unit_whose_child_is_killed_is_read_again_and_given_up_after_three(
    tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    paths = [tmp_path / f"{n}.jsonl" for n in range(3)]
    for n, path in enumerate(paths):
        path.write_text(json.dumps({"text": prose(ENGLISH, n)}) + "\n")
    units = list_work_units({"texts": TextSource(paths=[str(tmp_path / "*.jsonl")])}, workspace)
    poison, whole = paths[1], paths[1].with_suffix(".whole")
    poison.rename(whole)
    os.mkfifo(poison)
    never_ends = os.open(poison, os.O_RDWR)  # whoever reads it waits for more until it is killed
    with killing(poison, times=3) as killed:
        reports = process_units(units, document_settings, workspace, 1, lambda report: None)
    assert [(report.status, report.attempts) for report in reports] == [("done", 1), ("failed", 1), ("done", 1)]
    assert reports[1].error is not None and "SIGKILL" in reports[1].error
    assert len(killed) == 3

    with killing(poison, times=1, before=lambda: whole.rename(poison)):
        reports = process_units(units, document_settings, workspace, 1, lambda report: None)
    os.close(never_ends)
    assert [(report.status, report.attempts) for report in reports] == [("done", 1), ("done", 2), ("done", 1)]


@pytest.mark.slow
def test_a_child_that_gets_no_further_is_ended(
    write_warc: WriteWarc,
    tmp_path: Path,
    workspace: Workspace,
    document_settings: DocumentSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipelines.workers.pool.RECORD_SECONDS", 2)
    path = write_warc([Page(html(prose(ENGLISH, 1)))])
    os.mkfifo(tmp_path / "stuck.warc")  # opening it blocks, as a page could that hangs in native code
    units = [unit(tmp_path / "stuck.warc", "stuck"), unit(path, "whole")]
    stuck, whole = process_units(units, document_settings, workspace, 1, lambda report: None)
    assert (stuck.status, whole.status) == ("failed", "done")
    assert stuck.error == "the worker process was ended: it got no further for 2 s, in one record of the file"


@pytest.mark.slow
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


# Python imports this at the start of every process: some texts hang, or crash the process, where they come to a
# function.
POISONOUS = """
import os, signal, sys
if "pipelines.workers.worker" in sys.orig_argv:
    from pipelines.documents import row as document_row

    healthy = document_row.{function}
    def poisoned(*given):
        text = next(one for one in given if isinstance(one, str) and len(one) > 20)
        if "hangs" in text:
            signal.pause()
        if "crashes" in text:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "bursts" in text:
            os.kill(os.getpid(), signal.SIGKILL)
        if "panics" in text:
            raise BaseException("a panic")
        return healthy(*given)
    document_row.{function} = poisoned
"""


def poison(function: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(POISONOUS.replace("{function}", function))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder / "site"), str(Path(__file__).parents[3])]))


def on_a_cluster(units: list[WorkUnit], settings: DocumentSettings, workspace: Workspace) -> list[UnitReport]:
    """As a task does that Dask or Ray runs."""
    return process_units_here(units, settings, workspace, FetchSettings())


def by_processes(units: list[WorkUnit], settings: DocumentSettings, workspace: Workspace) -> list[UnitReport]:
    return process_units(units, settings, workspace, 1, lambda report: None)


@pytest.mark.parametrize(
    ("kind", "function", "read"),
    [
        ("warc", "kept_document", by_processes),
        ("text", "kept_document", on_a_cluster),
        ("warc", "language_share", by_processes),  # among the texts that are measured together
    ],
)
@pytest.mark.slow
def test_a_record_that_ends_its_process_costs_itself(
    kind: str,
    function: str,
    read: Callable[[list[WorkUnit], DocumentSettings, Workspace], list[UnitReport]],
    write_warc: WriteWarc,
    tmp_path: Path,
    workspace: Workspace,
    document_settings: DocumentSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipelines.workers.pool.RECORD_SECONDS", 3)
    poison(function, tmp_path, monkeypatch)
    texts = [
        f"{prose(ENGLISH, n)} This page {what}." for n, what in enumerate(("hangs", "is fine", "crashes", "bursts"))
    ]
    texts += [prose(ENGLISH, 5) + " This page panics.", prose(ENGLISH, 6)]
    if kind == "warc":
        path = write_warc([Page(html(text)) for text in texts])
        [one] = list_work_units({"crawl": WarcSource(paths=[str(path)])}, workspace)
    else:
        (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        [one] = list_work_units({"texts": TextSource(paths=[str(tmp_path / "texts.jsonl")])}, workspace)
    [report] = read([one], document_settings, workspace)
    assert (report.status, report.records) == ("done", 6)
    reasons = {row["reason"]: row["documents"] for row in report.funnel}
    assert reasons == {"poison_record": 3, "extraction_failed": 1, "kept": 2}


@pytest.mark.slow
def test_of_more_records_that_end_their_process_than_are_passed_over_what_stands_before_is_kept(
    write_warc: WriteWarc,
    tmp_path: Path,
    workspace: Workspace,
    document_settings: DocumentSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipelines.workers.pool.MAX_POISON", 2)
    poison("kept_document", tmp_path, monkeypatch)
    what = ("bursts", "is fine", "bursts", "is fine", "crashes", "is fine")
    path = write_warc([Page(html(f"{prose(ENGLISH, n)} This page {does}.")) for n, does in enumerate(what)])
    [report] = by_processes(
        list_work_units({"crawl": WarcSource(paths=[str(path)])}, workspace), document_settings, workspace
    )
    reasons = {row["reason"]: row["documents"] for row in report.funnel}
    assert (report.status, reasons) == ("done", {"poison_record": 2, "kept": 2, "damaged": 1})
    assert "record 4 ended the processes" in str(report.failures)
