"""Files that are whole or not there: a reader, or the next attempt after a kill, never sees half of one."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nr_core.errors import ModelError


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`, a file's or a folder's, and rename it to `path` once it is on disk.

    Whoever may read a folder may read its files: safetensors writes for its owner alone, whatever the umask says.
    """
    partial = path.with_name(f".partial-{path.name}")
    _remove(partial)
    try:
        yield partial
    except BaseException:
        _remove(partial)  # on a full disk, half a checkpoint would keep it full
        raise
    readers = partial.stat().st_mode & 0o044
    for entry in [*partial.rglob("*"), partial]:
        if entry.is_file():
            entry.chmod(entry.stat().st_mode | readers)
        _sync(entry)
    if path.is_dir():  # which os.replace would not replace
        _remove(path)
    os.replace(partial, path)
    _sync(path.parent)


def write_json(path: Path, content: Any) -> None:
    with writing(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# Models, tokenizers and adapters that somebody else has written: whatever a loader makes of them, the user gets one
# sentence.


LONGEST_REASON = 200  # characters of what a loader says: some quote the file


@contextmanager
def foreign_files(message: Callable[[str], str]) -> Iterator[None]:
    """Raise ModelError for whatever the loaders inside raise. message: the sentence, given the reason.

    Their errors are of any kind: a wrong type in a JSON file ends in an AttributeError or a TypeError, deep JSON in a
    RecursionError, a size that no memory holds in a RuntimeError, and a tokenizer's in a panic of Rust, which is a
    BaseException. What the hub's client says of each of its attempts is left out: the last one's error says it.
    """
    attempts = logging.getLogger("huggingface_hub.utils._http")
    level = attempts.level
    attempts.setLevel(logging.ERROR)
    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(message(reason_of(error))) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ModelError(message(reason_of(error))) from error
    finally:
        attempts.setLevel(level)


def reason_of(error: BaseException) -> str:
    """Return the first line of an error's text, with the next where a list begins there, as a part of a sentence."""
    first, *more = (str(error).strip() or type(error).__name__).splitlines()
    text = " ".join([*first.split(), *(" ".join(more).split() if first.endswith(":") else [])]).rstrip(".")
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"
