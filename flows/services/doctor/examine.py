"""`nr doctor`: what is wrong with this machine, installation, workspace or study, and the fix of each."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from flows.config.own_files import is_text, source_of
from flows.config.study import Config, load_config
from flows.maintenance.workspace_health import Wrong, disk_wrong, files_wrong, folder_wrong
from flows.plain_errors import sentence_of
from flows.services.doctor import machine, prefect_services
from flows.services.doctor.study import base_of, open_study, texts_of
from flows.steps.last_failure import last_failures
from storage.bucket import Bucket
from storage.errors import InputError, os_sentence
from storage.locations import at_home
from storage.workspace import Workspace

Check = Callable[[], tuple[str, Wrong | None]]  # what is told of a thing; what is wrong with it


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: how it stands, and the fix where it is wrong ('' where it is right)."""

    what: str
    says: str
    fix: str = ""


def examine(home: Path, port: int, workspace: Path | None = None, study: Path | None = None) -> Iterator[Finding]:
    """Look at everything that a flow needs, cheapest first, and then at what a study names.

    workspace: where none is given, the study's. A check that breaks is a finding too.
    """
    workspace = workspace or _workspace_of(study)
    yield from _found(
        [
            ("versions", machine.versions),
            ("compiler", machine.compiler),
            ("workspace", partial(_workspace, workspace)),
            ("bucket", partial(_bucket, workspace, study)),
            ("disk", partial(disk_wrong, workspace)),
            ("memory", machine.memory),
            ("extras", machine.extras),
            ("files", partial(_files, workspace)),
            ("last flow", partial(_last_flow, workspace)),
            ("language model", machine.language_model),
            ("GPU", machine.gpu),
            ("proxies", machine.used_proxies),
            ("Prefect's address", partial(prefect_services.address, home)),
            ("credential", partial(prefect_services.credential, home)),
            ("project", prefect_services.project),
            ("server", partial(prefect_services.server_here, home, port)),
            ("worker", partial(prefect_services.worker, home)),
            ("hub", machine.hub),
        ]
    )
    if study is None:
        none = (
            "no study.yaml here: `nr init --data FOLDER` writes one for a folder of your text; `nr doctor CONFIG` "
            "looks at another, `nr doctor FOLDER` whether its text is read"
        )
        yield Finding("study", none)
    else:
        yield from _study(study)


def _found(checks: Iterable[tuple[str, Check]]) -> Iterator[Finding]:
    for what, check in checks:
        try:
            says, wrong = check()
        except OSError as error:
            yield Finding(what, "could not be looked at", os_sentence(error))
        except Exception as error:  # noqa: BLE001 (the doctor must not die of the illness)
            if sentence := sentence_of(error):
                yield Finding(what, sentence, "as it says")
            else:
                yield Finding(what, f"could not be looked at: {type(error).__name__}: {error}", "read the error")
        else:
            yield Finding(what, wrong.says, wrong.fix) if wrong else Finding(what, says)


def _workspace_of(study: Path | None) -> Path:
    """Return the workspace that a study names; the usual one where there is no such study, which is told elsewhere."""
    try:
        return at_home(load_config(study).workspace) if study else Path("workspace")
    except InputError:
        return Path("workspace")


def _study(file: Path) -> Iterator[Finding]:
    """Look at a study; at its texts and its base where `nr run` would not refuse it at once.

    Where text is given in its place, or a folder, say what `nr init` would make of it.
    """
    studies: list[Config] = []

    def look() -> tuple[str, None]:
        studies.append(open_study(file))
        return f"{file} can be begun: `nr plan {file}` says what is to be done", None

    yield from _found([("study", look)])
    if not studies and (is_text(file.name) or file.is_dir()):
        yield from _found([("text", partial(_own_text, file))])
    for config in studies:
        texts: list[tuple[str, Check]] = [
            (f"text of {name}", partial(texts_of, name, config)) for name in config.corpora
        ]
        yield from _found([*texts, ("base", partial(base_of, config))])


def _own_text(path: Path) -> tuple[str, None]:
    """Tell what `nr init` would make of a file or folder. Raises InputError as it does."""
    source = source_of(Path(), str(path), "--data")
    return f"`nr init --data {path}` writes a study that reads {source['paths'][0]}", None


def _workspace(folder: Path) -> tuple[str, Wrong | None]:
    if wrong := folder_wrong(folder):
        return "", wrong
    if (folder / "workspace.json").exists():
        try:
            Workspace(folder)  # refuses the format of a later program version
        except InputError as error:
            says, _, fix = str(error).rpartition(": ")
            return "", Wrong(says, fix)
        return f"{folder} is one, and can be written to", None
    return f"{folder} is not there yet, and can be made", None


def _bucket(folder: Path, study: Path | None) -> tuple[str, Wrong | None]:
    """Look whether an object can be written to the bucket that the workspace remembers, else to the study's."""
    is_remembered = (folder / "workspace.json").exists() and Workspace(folder).bucket_url is not None
    url = Workspace(folder).bucket_url if is_remembered else _bucket_of(study)
    if not url:
        return "none is set: what is made stays on this machine", None
    Bucket(url, at_home(folder), is_remembered).refuse_unusable()
    return f"{url} can be written to", None


def _bucket_of(study: Path | None) -> str | None:
    try:
        return load_config(study).bucket if study else None
    except InputError:
        return None


def _files(folder: Path) -> tuple[str, Wrong | None]:
    if not (folder / "workspace.json").exists():
        return "no workspace yet", None
    wrong = list(files_wrong(Workspace(folder)))
    if not wrong:
        return "catalog, pointers and manifests can be read (`nr verify` reads all files)", None
    return "", Wrong("; ".join(one.says for one in wrong), "; ".join(one.fix for one in wrong))


def _last_flow(folder: Path) -> tuple[str, Wrong | None]:
    if not (folder / "workspace.json").exists():
        return "no workspace yet", None
    failed = [f"{one.flow} of {one.study}, {one.when}: {one.sentence}" for one in last_failures(Workspace(folder))]
    if not failed:
        return "none has failed since it last succeeded", None
    return "", Wrong(f"failed: {'; '.join(failed)}", "as it says, then run the same again")
