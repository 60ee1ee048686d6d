"""Models, tokenizers and adapters that somebody else has written: whatever a loader makes of them, the user gets one
sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nr_core.errors import ModelError

LONGEST_REASON = 200  # characters of what a loader says: some quote the file


@contextmanager
def foreign_files(message: Callable[[str], str]) -> Iterator[None]:
    """message: the sentence, given the reason. Raises ModelError for whatever the loaders inside raise.

    Their errors are of any kind: a wrong type in a JSON file ends in an AttributeError or a TypeError, deep JSON in a
    RecursionError, a size that no memory holds in a RuntimeError, and a tokenizer's in a panic of Rust, which is a
    BaseException.
    """
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


def reason_of(error: BaseException) -> str:
    """The first line of an error's text, not too long."""
    text = " ".join((str(error).strip() or type(error).__name__).splitlines()[0].split())
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"
