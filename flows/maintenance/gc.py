"""Removes what a workspace's policy lets go: never what a version in use or a kept run needs."""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pipelines.corpus.shared_versions import is_last_here
from storage.files import read_json, walk
from storage.publish import MANIFEST, is_done, read_manifest
from storage.workspace import OWN_TEXT, Workspace

# Who is at work in a workspace at this moment, by the locks that the system ends with their process.


JOB_LOCK = ".lock"  # nr_core holds it in the folder that a job fills
_WRITER = re.compile(r"\.(\d+)\.partial$")  # of a file that is on its way to its name


class Workers:
    """The locks of a workspace that are held, looked at once."""

    def __init__(self, workspace: Workspace) -> None:
        locks = (workspace.root / "private" / "locks").glob("*.lock")
        self._held = {lock.stem for lock in locks if is_held(lock)}

    def are_in(self, path: Path) -> bool:
        """Tell whether somebody is filling a folder or file that is not whole yet, or results on their way into
        records.
        """
        if writer := _WRITER.search(path.name):
            return _is_alive(int(writer[1]))
        if path.is_dir() and any(is_held(lock) for lock in path.rglob(JOB_LOCK)):
            return True
        if path.parent.name == "documents":  # read, and then sifted into corpora; no lock of its own
            writers = (_WRITER.search(partial.name) for partial in path.glob(".*.partial"))
            in_work = any(held == "fetching" or held.startswith("corpus-") for held in self._held)
            return in_work or any(_is_alive(int(writer[1])) for writer in writers if writer)
        if path.parent.name == "scratch":
            return any(held.startswith("evaluate-") for held in self._held)
        step = path.name.removeprefix(".").removesuffix(".partial")
        names = {step, f"corpus-{path.parent.name}"}
        return any(held in names or held.endswith(f"-{step}") for held in self._held)


def is_held(lock: Path) -> bool:
    """Tell whether somebody holds a lock, or may: where the file system does not say, nobody's work is touched."""
    try:
        # NFS asks for the permission to write before it gives a lock.
        descriptor = os.open(lock, os.O_RDWR if os.access(lock, os.W_OK) else os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_alive(process: int) -> bool:
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # another user's; no process
        return process < 2**22
    return True


DAY = 86_400.0
JOB_REMEDY = "delete it: the command whose job it was (run, train, evaluate) writes it anew"


class Keep(BaseModel):
    """Policy of what stays. All else that can be made again, or that nothing refers to, may go."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    versions: int = Field(3, ge=1, description="newest versions of each corpus, beside those that something needs")
    days: float = Field(30, ge=0, description="days for which unfinished work and unused documents stay")


@dataclass(frozen=True)
class Waste:
    """A folder or file that may go, and why."""

    path: Path
    why: str

    @property
    def bytes(self) -> int:
        return sum(file.stat().st_size for file in (self.path, *self.path.rglob("*")) if file.is_file())


def find_waste(workspace: Workspace, keep: Keep) -> list[Waste]:
    """Return what may go from a workspace; nothing is touched. What somebody is at work in stays, however old it is."""
    workers = Workers(workspace)
    manifests = _corpus_versions(workspace)
    needed = needed_versions(workspace, manifests, keep.versions)
    recent = _newest(manifests, keep.versions) | _current(workspace) | _in_work(workspace)
    found = [
        *_versions(workspace, manifests, needed),
        *_tokens(workspace, recent),
        *(item for item in _documents(workspace, manifests, needed, keep.days) if not workers.are_in(item.path)),
        *(item for item in _unfinished(workspace, keep.days) if not workers.are_in(item.path)),
    ]
    folders = {waste.path for waste in found}
    return [waste for waste in found if folders.isdisjoint(waste.path.parents)]  # what lies in one goes with it


def left_alone(workspace: Workspace, keep: Keep) -> list[Path]:
    """Return unfinished work that is old enough to go, and that somebody is at work in."""
    workers = Workers(workspace)
    return [item.path for item in _unfinished(workspace, keep.days) if workers.are_in(item.path)]


def remove(waste: list[Waste], workspace: Workspace) -> None:
    """Remove folders, each by a rename first: a crash leaves no half of one behind that could be taken for whole.

    They go from the workspace's bucket too, unless another machine has gone on there: then it may need them.
    """
    if workspace.bucket and is_last_here(workspace):
        for item in waste:
            if item.path.is_relative_to(workspace.root / "corpora") or item.path.parent.name == "documents":
                workspace.bucket.remove(item.path, item.path / MANIFEST)
    workers = Workers(workspace)
    for item in waste:
        if workers.are_in(item.path):  # meanwhile
            continue
        # Beside it: a part of a workspace may be a link to another disk, or a disk of its own.
        trash = item.path.with_name(f".trash.{os.getpid()}.partial")
        trash.mkdir(exist_ok=True)
        item.path.rename(trash / item.path.name)
        shutil.rmtree(trash, ignore_errors=True)


def needed_versions(workspace: Workspace, manifests: dict[str, dict[str, Any]], newest: int) -> set[str]:
    """Return versions in use, the newest of each corpus, those that runs were or are being trained on or figures were
    measured on, and all whose index segments or held-out splits these name.
    """
    needed = _current(workspace) | _newest(manifests, newest) | _of_runs(workspace) | _in_work(workspace)
    waiting = list(needed)
    while waiting:
        manifest = manifests.get(waiting.pop())
        named = set(_named(manifest["inputs"])) if manifest else set()
        waiting += named - needed
        needed |= named
    return needed


def _named(inputs: dict[str, Any]) -> Iterator[str]:
    yield from inputs.get("segments", {})
    if inputs.get("yardstick"):
        yield inputs["yardstick"]


def _corpus_versions(workspace: Workspace) -> dict[str, dict[str, Any]]:
    found = (read_manifest(path.parent) for path in (workspace.root / "corpora").glob(f"*/[!.]*/{MANIFEST}"))
    return {manifest["key"]: manifest for manifest in found if manifest}


def _current(workspace: Workspace) -> set[str]:
    versions = (workspace.current_version(name) for name in workspace.published_corpora())
    return {version for version in versions if version}


def _newest(manifests: dict[str, dict[str, Any]], count: int) -> set[str]:
    by_corpus: dict[str, list[dict[str, Any]]] = {}
    for manifest in manifests.values():
        by_corpus.setdefault(manifest["counts"]["name"], []).append(manifest)
    return {
        manifest["key"]
        for versions in by_corpus.values()
        for manifest in sorted(versions, key=lambda manifest: manifest["created"])[-count:]
    }


def _of_runs(workspace: Workspace) -> set[str]:
    """Yield versions that finished runs and bases name as their inputs."""
    folders = [*(workspace.root / "runs").glob("[!.]*"), *(workspace.root / "models").glob("[!.]*")]
    manifests = (read_manifest(folder) for folder in folders if is_done(folder))
    return {version for manifest in manifests if manifest for version in manifest["inputs"]}


def _in_work(workspace: Workspace) -> set[str]:
    """Yield versions whose tokens trainings read that are under way, or were stopped and may go on."""
    specs = (read_json(path, JOB_REMEDY) for path in workspace.job_spec("*").parent.glob("*.json"))
    waiting = (spec for spec in specs if spec.get("out") and Path(spec["out"]).exists())
    tokens = (Path(item["tokens"]) for spec in waiting for item in spec.get("inputs", []))
    return {folder.parent.parent.name for folder in tokens}  # VERSION/TOKENIZER/train, wherever the workspace lay


def _versions(workspace: Workspace, manifests: dict[str, dict[str, Any]], needed: set[str]) -> Iterator[Waste]:
    for version, manifest in manifests.items():
        if version not in needed:
            name = manifest["counts"]["name"]
            yield Waste(workspace.corpus_version(name, version), f"an old version of {name} that nothing needs")


def _tokens(workspace: Workspace, recent: set[str]) -> Iterator[Waste]:
    of_runs = _of_runs(workspace)
    for folder in sorted((workspace.root / "tokens").glob("[!.]*")):
        if folder.name in recent:
            continue
        if not folder.name.startswith(OWN_TEXT):
            yield Waste(folder, "tokens of an old version; they are made again if they are needed")
        elif folder.name not in of_runs:
            yield Waste(folder, "text that a base wrote, and that no finished run was trained on")


def _documents(
    workspace: Workspace, manifests: dict[str, dict[str, Any]], needed: set[str], days: float
) -> Iterator[Waste]:
    used = {manifests[version]["inputs"].get("documents_key") for version in needed if version in manifests}
    for folder in sorted((workspace.root / "documents").glob("[!.]*")):
        if folder.name not in used and _is_older(folder, days):
            yield Waste(folder, "documents by settings that no kept version has")


def _unfinished(workspace: Workspace, days: float) -> Iterator[Waste]:
    for path in sorted(_partial(workspace.root)):
        if _is_older(path, days):
            yield Waste(path, "checkpoints and parts of work that was never finished")
    for folder in sorted((workspace.root / "private" / "scratch").glob("*")):
        if _is_older(folder, days):
            yield Waste(folder, "results on their way into records that never came there")


def _partial(root: Path) -> Iterator[Path]:
    for folder, folders, files in walk(root):  # which bears, as rglob does not, that a flow renames what it goes to
        yield from (Path(folder, name) for name in (*folders, *files) if fnmatch(name, ".*.partial"))


def _is_older(folder: Path, days: float) -> bool:
    # The files, not only the folder: a training writes its checkpoints far below.
    try:
        newest = max((path.lstat().st_mtime for path in (folder, *folder.rglob("*"))), default=0.0)
    except FileNotFoundError:  # it became whole, or somebody is at work in it
        return False
    return time.time() - newest > days * DAY
