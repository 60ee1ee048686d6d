"""The record of a finished study: what it read and what it left, by which the same command finds that nothing is to do.

Files are told by size and time, as everywhere here; nothing is decided where a look at this machine's files does not
tell what a flow would find (`changeable_elsewhere`). Needs no Prefect.
"""

import glob
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.config.extends import PROJECT
from flows.config.study import Config
from nr_core.settings import BaseSpec
from pipelines.documents.stage import documents_key
from pipelines.sources.urls import redacted
from storage.errors import InputError
from storage.files import DamagedFile, read_json, walk, write_atomically
from storage.keys import hash_of
from storage.locations import at_home
from storage.publish import is_whole
from storage.query import query
from storage.workspace import Workspace

Stamps = dict[str, list[int] | None]

CODE = ("flows", "nr_core", "pipelines", "storage", "configs/tasks")
NO_INPUT = {"data_root", "workspace", "extends", "task_data"}  # folders whose files are named elsewhere, or results
FAILED = "SELECT count(*) FROM work_units WHERE status <> 'done' AND documents_key = ?"
COMMIT = re.compile(r"[0-9a-f]{40}")
DONE = "SELECT count(*) FROM runs WHERE status = 'done' AND run_id IN (SELECT unnest(?))"


def is_finished(config: Config) -> bool:
    """Tell whether a study of this very config was finished by this code, and all that it read and left stands.

    False wherever that is not certain.
    """
    workspace = Workspace(config.workspace)
    try:
        record = read_json(workspace.finished_study(config.name), "delete it")
        return bool(
            record["study"] == _study(config)
            and record["inputs"] == input_stamps(config)
            and _stand(workspace, record["results"])
            and _runs_are_recorded(workspace, record["runs"])
        )
    except (OSError, InputError, DamagedFile, KeyError, TypeError, AttributeError):
        return False


def remember_finished(
    config: Config, inputs: Stamps | None, versions: Mapping[str, str], run_ids: Sequence[str]
) -> bool:
    """Record that a study is finished, for `is_finished`; return whether that was so.

    inputs: `input_stamps` from before the flow. It is not so where something has changed meanwhile or has failed.
    """
    workspace = Workspace(config.workspace)
    file = workspace.finished_study(config.name)
    finished = (
        inputs is not None
        and inputs == input_stamps(config)
        and all(workspace.current_version(name) == version for name, version in versions.items())
        and all(is_whole(workspace.corpus_version(*corpus)) for corpus in versions.items())
        and all(is_whole(workspace.run(run_id)) for run_id in run_ids)
        and query(workspace, FAILED, [documents_key(config.documents)]).rows == [(0,)]
        and _runs_are_recorded(workspace, run_ids)
    )
    if not finished:
        file.unlink(missing_ok=True)
        return False
    results = dict(_result_stamps(workspace))
    record = {"study": _study(config), "inputs": inputs, "results": results, "runs": list(run_ids)}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps(record))
    return True


def changeable_elsewhere(config: Config) -> str | None:
    """Name something that a config reads elsewhere and that may have changed there; None where all else is told by
    this machine's files. A snapshot of Common Crawl and a commit on the hub never change.
    """
    base, bucket = config.base, config.bucket or Workspace(config.workspace).bucket_url
    if bucket:
        return f"the bucket {redacted(str(bucket))}"
    for name, source in config.sources.items():
        if addresses := source.changeable_addresses():
            return f"{addresses[0]} of sources.{name}"
    if isinstance(base, BaseSpec) and not at_home(base.model).exists() and not COMMIT.fullmatch(base.revision or ""):
        return f"base.model {base.model} on the hub (base.revision with a commit would pin it)"
    if config.evaluation.tasks and _task_patterns(config) is None:
        return "a task of evaluation.tasks on the hub"
    return None


def input_stamps(config: Config) -> Stamps | None:
    """Return size and time of each file that the config names, and of the deny list; None where it reads what may
    change elsewhere.
    """
    if changeable_elsewhere(config):
        return None
    workspace = Workspace(config.workspace)
    patterns = [pattern for source in config.sources.values() for pattern in source.local_patterns()]
    patterns += [glob.escape(text) for text in _texts(config.model_dump(mode="json"))]
    if config.evaluation.tasks:
        patterns += _task_patterns(config) or []
    denied = str(workspace.deny_list)
    stamps: Stamps = {path: _stamp(path) for pattern in patterns for path in _files(pattern, workspace.root)}
    return {**stamps, denied: _stamp(denied) if workspace.deny_list.exists() else None}


def _task_patterns(config: Config) -> list[str] | None:
    """Return where the rows of the tasks lie; None where a task has them from the hub."""
    from flows.steps.tasks import find_tasks

    folder, tasks = at_home(config.evaluation.task_data), find_tasks(config.evaluation.tasks)
    if any(task.data.hub for task in tasks):
        return None
    own = [f"{glob.escape(str(folder / task.name))}*.jsonl" for task in tasks]
    return own + [str(folder / Path(pattern).expanduser()) for task in tasks for pattern in task.data.files]


def _texts(value: Any) -> Iterator[str]:
    """Yield every text of a config: each may name a file."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key not in NO_INPUT:
                yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _files(pattern: str, results: Path) -> Iterator[str]:
    """Yield the files that a pattern names, and those in the folders that it names; no results."""
    try:
        found = glob.glob(os.path.abspath(os.path.expanduser(pattern)), recursive=True)
    except (OSError, ValueError):  # a text that no file system takes as a name
        return
    for path in found:
        if os.path.isfile(path):
            yield path
        elif not results.is_relative_to(path) and not Path(path).is_relative_to(results):
            for folder, _, names in walk(path):
                yield from (os.path.join(folder, name) for name in names)


def _result_stamps(workspace: Workspace) -> Iterator[tuple[str, list[int] | None]]:
    """Yield a stamp of each file of the workspace that stays as a flow left it.

    Of what a flow writes anew each time the time is left out, and of a report, which says when it was written, the
    size.
    """
    for folder, folders, names in walk(workspace.root):
        at_top = Path(folder) == workspace.root
        folders[:] = [name for name in folders if not name.startswith(".") and not (at_top and name == "private")]
        for name in names:
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, workspace.root)
            if at_top or name.startswith("."):  # the catalog is asked itself, the deny list is an input
                continue
            top = relative.split(os.sep, 1)[0]
            yield relative, [] if top == "reports" else _stamp(path)[: 1 if top == "records" else 2]


def _stand(workspace: Workspace, results: Mapping[str, list[int]]) -> bool:
    return all(_stamp(workspace.root / name)[: len(stamp)] == stamp for name, stamp in results.items())


def _stamp(path: str | Path) -> list[int]:
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns]


def _runs_are_recorded(workspace: Workspace, run_ids: Sequence[str]) -> bool:
    return query(workspace, DONE, [list(run_ids)]).rows == [(len(set(run_ids)),)]


def _study(config: Config) -> str:
    """Return a hash of every setting, and of the code by the size and time of its files."""
    code = {}
    for root in CODE:
        for folder, _, names in os.walk(PROJECT / root):
            for name in names:
                if name.endswith((".py", ".sql", ".yaml")):
                    path = os.path.join(folder, name)
                    code[os.path.relpath(path, PROJECT)] = _stamp(path)
    return hash_of(config.model_dump(mode="json"), code)
