"""Roll a corpus back: an earlier version becomes the one in use."""

from collections.abc import Iterator

from flows.steps.result_records import record_move
from pipelines.corpus.shared_versions import changing_corpus, fetch_version
from pipelines.denylist import holds_taken_down
from storage.errors import InputError
from storage.publish import is_done, read_manifest
from storage.workspace import Workspace


def roll_back(workspace: Workspace, corpus: str, version: str | None, reason: str | None = None) -> tuple[str, str]:
    """Point CURRENT at `version`, by default the parent of the one in use. Returns the version before and after.

    The next version then descends from it. Nothing is deleted: rolling forward is the same command.
    Raises InputError when there is no such version, it is not whole, or it has pages of a host that was taken down.
    """
    _refuse_unknown(workspace, corpus)
    with changing_corpus(corpus, workspace):
        before = current(workspace, corpus)
        wanted = version or next(iter(_ancestors(workspace, corpus, before)), None)
        if wanted is None:
            raise InputError(f"corpus {corpus}: version {before} is its first; name the version to go to")
        folder = workspace.corpus_version(corpus, wanted)
        # A version is a name out of a command line: it must be one of the folders, not a way out of them.
        if workspace.bucket and wanted in workspace.bucket.names(workspace.corpus(corpus)):
            fetch_version(corpus, wanted, workspace)
        if wanted not in {path.parent.name for path in workspace.corpus(corpus).glob("*/manifest.json")}:
            known = ", ".join(_ancestors(workspace, corpus, before)) or "none"
            raise InputError(f"corpus {corpus} has no version {wanted}; before {before} came: {known}")
        if not is_done(folder):
            raise InputError(f"version {wanted} of corpus {corpus} is damaged: `nr verify {corpus}` says where")
        if hosts := holds_taken_down(corpus, wanted, workspace):
            others = [other for other in _ancestors(workspace, corpus, before) if other != wanted]
            without = [other for other in others if not holds_taken_down(corpus, other, workspace)]
            raise InputError(
                f"version {wanted} of corpus {corpus} holds pages of hosts that were taken down "
                f"({', '.join(hosts[:5])}): it cannot come back; "
                f"earlier versions without: {', '.join(without) or 'none'}"
            )
        workspace.point_to(corpus, wanted)
    record_move(workspace, corpus, before, wanted, "rollback", reason)
    return before, wanted


MISSING_REMEDY = "`nr refresh CONFIG` makes one anew, or write the name of a folder beside it into it"


def current(workspace: Workspace, corpus: str) -> str:
    """Return the version in use. Raises InputError when no corpus of this name was published."""
    _refuse_unknown(workspace, corpus)
    version = workspace.current_version(corpus)
    if version is None:
        raise InputError(
            f"corpus {corpus} is in the bucket {workspace.bucket_url} and not in {workspace.root} yet: "
            "`nr refresh CONFIG` brings it"
        )
    if not workspace.corpus_version(corpus, version).is_dir():
        raise InputError(f"{workspace.pointer(corpus)} names version {version}, which is not there: {MISSING_REMEDY}")
    return version


def _refuse_unknown(workspace: Workspace, corpus: str) -> None:
    """Refuse a name that no corpus has, here or in the bucket, out of which it comes only when changed."""
    names = set(workspace.published_corpora())
    if workspace.bucket:
        names.update(workspace.bucket.names(workspace.root / "corpora"))
    if corpus not in names:
        known = ", ".join(sorted(names)) or "none"
        raise InputError(f"there is no corpus {corpus!r} in {workspace.root}; there are: {known}")


def _ancestors(workspace: Workspace, corpus: str, version: str) -> Iterator[str]:
    while manifest := read_manifest(workspace.corpus_version(corpus, version)):
        parent = manifest["inputs"]["parent_version"]
        if parent is None:
            return
        version = parent
        yield version
