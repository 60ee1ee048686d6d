"""Words with the API of a Prefect server, without importing Prefect, which takes seconds."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

BUSY, BUSY_SECONDS = 503, 60  # what the server answers while its SQLite is locked, and how long we ask again


def ask(method: str, url: str, body: Mapping[str, Any]) -> Any:
    """The answer of Prefect's API, asked again while the server is busy. Raises urllib's HTTPError for a refusal."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=BUSY_SECONDS) as response:
                return json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            if error.code != BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False
