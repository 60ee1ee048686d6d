"""Print a run's text in the terminal, as it is made: `nr generate` and `nr chat` (runs.py)."""

import os
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flows.cli.table import for_terminal
from nr_core.imports import without_collecting
from storage.errors import InputError
from storage.locations import at_home
from storage.publish import is_done
from storage.query import find_run
from storage.workspace import Workspace


def run_folder(run: str, workspace: Path) -> Path:
    """Return the folder of a run: `run` is one, or the id of a run in the workspace, its first letters, or its name.

    Raises:
        InputError: none of it is the case, or several runs are meant.
    """
    given = at_home(run)
    if (given / "run.json").is_file():
        return given
    if (at_home(workspace) / "workspace.json").exists():
        there = Workspace(workspace)
        if "/" not in run and is_done(folder := there.run(run)):
            return folder
        if there.catalog.exists() and not given.is_dir():
            run_id = find_run(there, run)
            if is_done(folder := there.run(run_id)):
                return folder
            raise InputError(f"run {run_id} is not finished, or its folder {folder} is not whole; train it again")
    if given.is_dir():
        return given
    raise InputError(f"there is no folder {run}, and {workspace} has no finished run of that id or name")


def load(folder: Path, trust_remote_code: bool) -> tuple[Any, Any]:
    """Load a run and its tokenizer without what the libraries tell one another, progress bars and deprecations."""
    # Read where tqdm is imported, by torch at the latest: transformers' bar over a GGUF file hears of nothing else.
    os.environ.setdefault("TQDM_DISABLE", "1")
    if sys.stderr.isatty():
        print(f"loading {for_terminal(str(folder))}", file=sys.stderr)
    with without_collecting():
        from transformers.utils.logging import disable_progress_bar

        from nr_core.runs.load_run import load_finished

    disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return load_finished(folder, trust_remote_code)


def generate(folder: Path, prompt: str, trust_remote_code: bool = False, **options: Any) -> None:
    model, tokenizer = load(folder, trust_remote_code)  # before any import of torch, see there
    from nr_core.generation.generate import ContextFullError, stream

    show([prompt])
    try:
        show(stream(model, tokenizer, prompt, **options))
    except ContextFullError as full:
        print(f"\n{full}", end="", file=sys.stderr)
    print()


def chat(folder: Path, trust_remote_code: bool = False, **options: Any) -> None:
    """Read turns from stdin, to its end or that of the model's context."""
    model, tokenizer = load(folder, trust_remote_code)  # before any import of torch, see there
    from nr_core.generation.generate import ContextFullError, chat_prompt, stream

    turns: list[dict[str, str]] = []
    while True:
        print("> ", end="", file=sys.stderr, flush=True)
        said = sys.stdin.readline()
        if not said:
            print(file=sys.stderr)
            return
        if not said.strip():
            continue
        turns.append({"role": "user", "content": said.strip()})
        try:
            answer = show(stream(model, tokenizer, chat_prompt(tokenizer, turns), **options))
        except ContextFullError as full:
            print(f"\n{full}", file=sys.stderr)
            return
        print()
        turns.append({"role": "assistant", "content": answer})


def show(pieces: Iterable[str]) -> str:
    """Print pieces as they come; return the whole. A model may write terminal escapes, which are not passed on."""
    told = []
    for piece in pieces:
        print(for_terminal(piece), end="", flush=True)
        told.append(piece)
    return "".join(told)
