"""The sentence with which the last flow of a study failed, kept for `nr doctor`: a flow that Prefect's worker ran, or
one of a terminal that is gone, has told it where nobody looks.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from typing import ParamSpec, TypeVar

from flows.config.study import Config
from flows.plain_errors import sentence_of
from storage.errors import InputError
from storage.files import read_json, write_atomically
from storage.workspace import Workspace

P = ParamSpec("P")
R = TypeVar("R")

REMEDY = "delete it"


@dataclass(frozen=True)
class Failure:
    """Hold how the last flow of a study failed."""

    study: str
    flow: str
    when: str
    sentence: str


def remembering_failure(flow: Callable[P, R]) -> Callable[P, R]:
    """Wrap the function of a flow, whose parameter `config` names study and workspace: its failure is kept until it
    succeeds.
    """

    @wraps(flow)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        config = kwargs["config"] if "config" in kwargs else args[0]
        assert isinstance(config, Config)
        try:
            result = flow(*args, **kwargs)
        except Exception as error:
            if _is_interrupt(error):
                raise KeyboardInterrupt from error
            with suppress(OSError, InputError):  # as where the workspace is what the flow could not use
                _remember(config, flow.__name__, error)
            raise
        with suppress(OSError, InputError):
            _forget(config, flow.__name__)
        return result

    return run


def _is_interrupt(error: BaseException | None) -> bool:
    """Tell whether an error is what became of an interrupt, which Prefect would take for a failure of the flow.

    DuckDB makes such an error of one amid a query; others come up while one is on its way out.
    """
    while error is not None:
        if isinstance(error, KeyboardInterrupt) or (type(error) is RuntimeError and str(error) == "Query interrupted"):
            return True
        error = error.__cause__ or error.__context__
    return False


def last_failures(workspace: Workspace) -> Iterator[Failure]:
    """Yield the failure of each study whose last flow failed. Raises DamagedFile where one is none."""
    for file in sorted(workspace.failed_study("*").parent.glob("*.json")):
        yield Failure(**{name: str(read_json(file, REMEDY).get(name)) for name in Failure.__dataclass_fields__})


def _remember(config: Config, flow: str, error: Exception) -> None:
    sentence = sentence_of(error) or f"{type(error).__name__}: {error}"
    failure = {
        "study": config.name,
        "flow": flow,
        "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "sentence": sentence,
    }
    write_atomically(Workspace(config.workspace).failed_study(config.name), json.dumps(failure))


def _forget(config: Config, flow: str) -> None:
    """Delete the failure of this very flow: that of a whole study stands when one of its steps succeeds."""
    file = Workspace(config.workspace).failed_study(config.name)
    if file.exists() and read_json(file, REMEDY).get("flow") == flow:
        file.unlink()
