"""The command line `nr`. Heavy rooms are imported in the commands, so that `nr --help` answers at once."""

import errno
import os
import sys

# Each adds its commands to the app, in the order in which `nr --help` lists them.
from flows.cli import study, models, results, corpora, services  # noqa: F401  # isort: skip
from flows.cli.app import app
from storage.errors import InputError


def main() -> None:
    """Entry point: bad input ends with one sentence and exit code 2."""
    from nr_core.errors import ModelError

    try:
        app()
    except (InputError, ModelError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except Exception as error:
        if not is_disk_full(error):
            raise
        print(f"error: the disk is full ({error}): free some space, and the same command goes on", file=sys.stderr)
        sys.exit(2)


def is_disk_full(error: Exception) -> bool:
    # DuckDB and Arrow tell it in words of their own.
    return getattr(error, "errno", None) == errno.ENOSPC or os.strerror(errno.ENOSPC) in str(error)
