"""Tells what of a user's own models can be none, by names and first bytes: at once, without importing torch."""

import re
from pathlib import Path

from nr_core.settings import BaseSpec
from storage.errors import InputError

GGUF = b"GGUF"  # what such a file begins with
POINTER = b"version https://git-lfs"  # what Git leaves in a file's place where its extension LFS is not installed
CONFIGS = ("config.json", "adapter_config.json")  # an adapter's folder is refused where its model is looked for
HUB_ID = r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?"
HUB = "https://huggingface.co/"
GIVE = "give a model's folder, a GGUF file or a hub id"


def refuse_no_model(where: str, spec: BaseSpec) -> None:
    """Raise InputError, which begins with `where`, for what is no model on this machine, nor an id of one on the hub.

    Whether the hub has it, and whether it can be loaded, is not looked at.
    """
    given, place = spec.called, Path(spec.model)
    if "://" in given or given.startswith("https:/"):  # of a path two slashes become one
        raise InputError(f"{where}: {given} is an address; {_hub_id(given) or GIVE}")
    if spec.gguf_file and (place.is_dir() or not _may_be_on_hub(spec.model)):
        _refuse_no_gguf(where, given, place / spec.gguf_file)
    elif place.is_file():
        hint = f", as {place.parent} may be" if place.suffix in (".json", ".safetensors", ".bin") else ""
        raise InputError(f"{where}: {given} is a file, and no GGUF file (*.gguf); {GIVE}{hint}")
    elif place.is_dir():
        _refuse_no_folder(where, given, place)
    elif not _may_be_on_hub(spec.model):
        raise InputError(f"{where}: there is no {given}; {GIVE}")


def _may_be_on_hub(name: str) -> bool:
    return re.fullmatch(HUB_ID, name) is not None


def _hub_id(address: str) -> str:
    """Advise to give the id in an address of the hub; '' for an address elsewhere."""
    found = re.match(rf"{HUB}([\w.-]+/[\w.-]+)", address)
    return f"give the hub id in it, {found[1]}" if found else ""


def _refuse_no_gguf(where: str, given: str, file: Path) -> None:
    if not file.is_file():
        raise InputError(f"{where}: there is no {given}; {GIVE}")
    _refuse_pointer(where, file)
    if not _begins(file, GGUF):
        raise InputError(f"{where}: {given} is no GGUF file, which begins with {GGUF.decode()}; fetch it anew")


def _refuse_no_folder(where: str, given: str, folder: Path) -> None:
    if not any((folder / name).is_file() for name in CONFIGS):
        packed = next(iter(sorted(folder.glob("*.gguf"))), None)
        instead = f"give its file {packed}" if packed else GIVE
        raise InputError(f"{where}: {given} has no config.json, so it is no model's folder; {instead}")
    for file in sorted(folder.glob("*.safetensors")):
        _refuse_pointer(where, file)


def _refuse_pointer(where: str, file: Path) -> None:
    if _begins(file, POINTER):
        raise InputError(
            f"{where}: {file} is a pointer of Git LFS and not the file itself; `git lfs pull` where it was cloned "
            "fetches it, or download it by itself"
        )


def _begins(file: Path, with_: bytes) -> bool:
    with file.open("rb") as content:
        return content.read(len(with_)) == with_
