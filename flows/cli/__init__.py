"""The command line `nr`. Heavy packages are imported in the commands, so that `nr --help` answers at once."""

import codecs
import io
import os
import signal
import sys
import threading
from typing import Any

_HANDLED = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT)
if _HANDLED is signal.default_int_handler:  # amid the imports below too an interrupt ends in silence
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import typer  # noqa: E402

# Each adds its commands to the app, in the order in which `nr --help` lists them.
from flows.cli import init, study, runs, results, corpora, services  # noqa: E402, F401  # isort: skip
from flows.cli.app import app, leaving_on_interrupt  # noqa: E402
from flows.plain_errors import sentence_of  # noqa: E402
from pipelines.workers.child_processes import SAFE  # noqa: E402

if _HANDLED is signal.default_int_handler:
    signal.signal(signal.SIGINT, _HANDLED)


_TYPED_WRONGLY: type[Exception] = typer.BadParameter.__mro__[2]  # of all usage errors; typer exports none of its own


def main() -> None:
    """Run the command: an error that the user can fix ends with one sentence and exit code 2, an interrupt in silence
    with 130."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_SHOWN_IN_ASCII)
    os.environ.update(SAFE)  # libraries start processes of their own, as Dask does its workers
    with leaving_on_interrupt(""):
        try:
            sys.exit(app(standalone_mode=False) or 0)
        except typer.Abort:
            sys.exit("Aborted!")
        except _TYPED_WRONGLY as error:
            _end(_shown(error))
        except Exception as error:
            sentence = sentence_of(error)
            if sentence is None:
                raise
            _end(f"error: {sentence}")


_SHOWN_IN_ASCII = "shown-in-ascii"
_FRAMES = str.maketrans("─│┌┐└┘├┤┬┴┼…", "-|+++++++++~")


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    """Return what the terminal's charset lacks as it has it: frames of tables as lines, letters by their number."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end].translate(_FRAMES)
    return lacking.encode("ascii", "backslashreplace").decode(), error.end


codecs.register_error(_SHOWN_IN_ASCII, _in_ascii)


def _shown(error: Any) -> str:
    """Return a usage error as typer shows it: the usage, where help is, and what was wrong."""
    said = io.StringIO()
    error.show(said)
    return said.getvalue().rstrip()


def _end(sentence: str) -> None:
    from pipelines.sources.urls import redacted_text

    print(redacted_text(sentence), file=sys.stderr)  # which repeats what was typed
    sys.exit(2)
