"""A bar in Prefect's UI for a long task."""

import re
from uuid import UUID

from httpx import HTTPError
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import PrefectException


class ProgressArtifact:
    """One bar, versioned by its key.

    The server's absence is no reason to end the work that it shows, nor to wait for it more than once: Prefect's client
    tries for a minute.
    """

    def __init__(self, label: str) -> None:
        self._label, self._key = label, re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "progress"
        self._id: UUID | None = None
        self._server_is_gone = False

    def show(self, share: float) -> None:
        """`share` of the work that is done, from 0 to 1."""
        if self._server_is_gone:
            return
        percent = round(100 * min(max(share, 0.0), 1.0), 1)
        try:
            if self._id is None:
                self._id = create_progress_artifact(percent, key=self._key, description=self._label)  # type: ignore[assignment]
            else:
                update_progress_artifact(self._id, progress=percent)
        except (HTTPError, PrefectException):
            self._server_is_gone = True
