"""Minimal client for the Prefect API, without importing Prefect, which takes seconds."""

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from flows.services.addresses import is_loopback

BUSY, BUSY_SECONDS = 503, 60  # what the server answers while its SQLite is locked, and how long we ask again
ANSWER_SECONDS = 10
FORBIDDEN = 403  # what it answers to a change without a CSRF token that it knows
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Api:
    """The API of a server on this machine: its address, and the credential it asks for."""

    url: str
    credential: str = field(repr=False)
    _client: str = field(default_factory=lambda: str(uuid4()), repr=False)
    _tokens: list[str] = field(default_factory=list, repr=False)

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the answer, asked again while the server is busy. Raises urllib's HTTPError for a refusal."""
        deadline, renewed = time.monotonic() + BUSY_SECONDS, False
        while True:
            try:
                return self._send(method, path, body)
            except urllib.error.HTTPError as error:
                if error.code == FORBIDDEN and method != "GET" and not renewed:  # no CSRF token, or one that is old
                    self._tokens[:] = [self._send("GET", f"csrf-token?client={self._client}", None)["token"]]
                    renewed = True
                elif error.code != BUSY or time.monotonic() > deadline:
                    raise
                else:
                    time.sleep(0.5)

    def answers(self, path: str = "health") -> bool:
        return is_served(f"{self.url}/{path}", self.credential)

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        headers = {"Content-Type": "application/json", "Authorization": basic(self.credential)}
        if self._tokens:
            headers |= {"Prefect-Csrf-Token": self._tokens[0], "Prefect-Csrf-Client": self._client}
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/{path}", content, headers, method=method)
        with DIRECT.open(request, timeout=BUSY_SECONDS) as response:
            return json.loads(response.read() or b"null")


def is_served(url: str, credential: str = "") -> bool:
    """Tell whether a service of ours answers there, asked without any proxy."""
    try:
        request = urllib.request.Request(url, headers={"Authorization": basic(credential)})
        with DIRECT.open(request, timeout=ANSWER_SECONDS):
            return True
    except (OSError, HTTPException):
        return False


def answer_of(url: str, login: str | None = None) -> int | None:
    """Return the status that a server of the user's own gives, None for none; loopback is never asked through a proxy.

    login: what the header Authorization is to say.
    """
    try:
        opener = DIRECT if is_loopback(urlsplit(url).hostname or "") else urllib.request.build_opener()
        request = urllib.request.Request(url, headers={"Authorization": login} if login else {})
        with opener.open(request, timeout=ANSWER_SECONDS) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, HTTPException, ValueError):  # ValueError: an address that is none
        return None


def basic(credential: str) -> str:
    """Return what the header Authorization says for a credential."""
    return f"Basic {base64.b64encode(credential.encode()).decode()}"
