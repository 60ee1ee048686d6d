"""The Typer app of `nr`, the options that its commands share, and how a command ends at Ctrl-C.

It ends within seconds, whatever it is doing, with one sentence and exit code 130.
"""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from storage.errors import InputError
from storage.locations import at_home

app = typer.Typer(
    help="Extend a language model to a new language without losing what it knows.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"neutral-residues {version('neutral-residues')}")
        raise typer.Exit


@app.callback()
def _of_all(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


# No shell puts the home in behind an option's =.
AT_HOME: Any = {"parser": at_home, "metavar": "PATH"}

ConfigFile = Annotated[
    Path, typer.Argument(metavar="CONFIG", parser=at_home, help="A YAML file, such as `nr init` writes.")
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Override a field: --set training.steps=100 (may be repeated).")
]
WorkspaceFolder = Annotated[Path, typer.Option("--workspace", **AT_HOME, help="The folder that holds the results.")]

AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON, for programs.")]


def existing(workspace: Path) -> Path:
    if not (workspace / "workspace.json").exists():
        raise InputError(
            f"{workspace} is not a workspace: `nr run CONFIG` makes one; give the folder of another with --workspace"
        )
    return workspace


INTERRUPTED = 128 + signal.SIGINT
SENTENCE = "interrupted: what is whole stays, and the same command goes on from there"
# For trainings to save, and for Prefect to hear of it. Who needs longer ends by itself when its parent is gone.
LEAVE_SECONDS = 5.0


@contextmanager
def leaving_on_interrupt(sentence: str = SENTENCE) -> Iterator[None]:
    """Let an interrupt raise KeyboardInterrupt within; when that has not got through in time, or comes twice, we leave.

    `sentence` is said then; an empty one is for commands that have nothing to go on from. To leave in the middle of
    anything is safe here: whatever a kill -9 leaves behind, the same command goes on from.
    """
    asked = threading.Event()
    late = threading.Timer(LEAVE_SECONDS, _leave, [sentence])
    late.daemon = True

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, lambda *_: _leave(sentence))
        asked.set()
        if not sentence:  # nor what libraries say of it on their way out
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        logging.disable(logging.ERROR)  # Prefect tells of one between two steps by a traceback
        late.start()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except BaseException:
        if asked.is_set():  # amid a query DuckDB makes a RuntimeError of it
            _leave(sentence)
        raise
    finally:
        late.cancel()
        signal.signal(signal.SIGINT, before)


def _leave(sentence: str) -> None:
    if sentence:  # print would refuse where the interrupt came in the middle of another
        os.write(2, f"{sentence}\n".encode())
    os._exit(INTERRUPTED)
