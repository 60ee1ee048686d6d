"""The command line `nr`. Heavy packages are imported in the commands, so that `nr --help` answers at once."""

import os
import sys

# Each adds its commands to the app, in the order in which `nr --help` lists them.
from flows.cli import init, study, runs, results, corpora, services  # noqa: F401  # isort: skip
from flows.cli.app import app, leaving_on_interrupt
from pipelines.workers.child_processes import SAFE


def main() -> None:
    """Run the command: an error that the user can fix ends with one sentence and exit code 2, an interrupt in silence
    with 130."""
    from flows.plain_errors import sentence_of

    os.environ.update(SAFE)  # libraries start processes of their own, as Dask does its workers
    with leaving_on_interrupt(""):
        try:
            app()
        except Exception as error:
            sentence = sentence_of(error)
            if sentence is None:
                raise
            print(f"error: {sentence}", file=sys.stderr)
            sys.exit(2)
