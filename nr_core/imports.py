"""Imports heavy packages quickly, for processes that live for seconds: a third of what torch and PEFT cost is saved."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collecting() -> Iterator[None]:
    """Import what is imported within without looking for garbage, and never look through it again.

    Modules make next to no garbage, and stay: they are gone through at each collection, at the process's end too.
    https://docs.python.org/3/library/gc.html#gc.freeze
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()
