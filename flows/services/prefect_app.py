"""Prefect's application as we serve it: behind a guard that turns away the requests of other hosts' and origins' pages.

Prefect itself asks for the credential and the CSRF token (flows/services/access.py sets that); it looks at no Host,
and answers every origin before it asks who it is.
"""

import socket
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from filelock import FileLock

from flows.services.access import own_origins
from flows.services.addresses import refusal
from nr_core.imports import without_collecting

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guard:
    """An ASGI application before another: what `flows.services.addresses.refusal` has a reason for gets 403 and goes no
    further, WebSockets too."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._origins = own_origins()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reason = self._refusal(scope) if scope["type"] in ("http", "websocket") else None
        if reason is None:
            await self._application(scope, receive, _asking_nobody_else(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": reason})
        else:
            content = f"{reason}\n".encode()
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(content))]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": content})

    def _refusal(self, scope: Scope) -> str | None:
        headers: defaultdict[str, list[str]] = defaultdict(list)
        for name, value in scope["headers"]:
            headers[name.decode("latin-1").lower()].append(value.decode("latin-1"))
        return refusal(headers, (scope["server"] or ("", 0))[0], self._origins)


def _asking_nobody_else(send: Send) -> Send:
    """Let pages ask the server that they came from alone: Prefect's log-in page, which has no settings yet, takes
    analytics to be wanted, and the browser would tell Amplitude of the visit."""

    async def with_policy(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), (b"content-security-policy", b"connect-src 'self'")]
        await send(message)

    return with_policy


def serve(host: str | None = None, port: int = 0, listener: socket.socket | None = None) -> None:
    """Serve Prefect's API, and its pages where its settings say so, until a signal comes.

    listener: a socket that listens already, instead of host and port.
    """
    with without_collecting():
        import uvicorn
        from prefect.server.api.server import create_app
        from prefect.settings import get_current_settings

    _leave_current_folder_alone()
    _migrate_one_at_a_time()
    take_turns_at_writing()
    settings = get_current_settings().server
    config = uvicorn.Config(
        Guard(create_app(final=True)),
        host=host or "127.0.0.1",
        port=port,
        timeout_keep_alive=settings.api.keepalive_timeout,
        ws_ping_interval=settings.api.websocket_ping_interval,
        ws_ping_timeout=settings.api.websocket_ping_timeout,
        log_level=settings.logging_level.lower(),
        lifespan="on",
    )
    server = uvicorn.Server(config)
    server.run(sockets=[listener] if listener else None)
    if not server.started:
        sys.exit(1)


def _leave_current_folder_alone() -> None:
    """Keep the current folder out of sys.path, where Prefect's alembic.ini puts it first as tables are made: whatever
    is imported after that would be taken from there.
    """
    from prefect.server.database import alembic_commands

    of_prefect = alembic_commands.alembic_config

    def config() -> Any:
        made = of_prefect()
        made.set_main_option("prepend_sys_path", "")
        return made

    alembic_commands.alembic_config = config


def _migrate_one_at_a_time() -> None:
    """Let servers that start at once in a new home migrate one by one.

    Both would add the same columns, and one end with "duplicate column name".
    """
    from prefect.server.database import interface
    from prefect.settings import get_current_settings

    of_prefect: Any = interface.alembic_upgrade
    lock = FileLock(get_current_settings().home / "database.lock")

    def upgrade(*to: Any) -> None:
        with lock:
            of_prefect(*to)

    interface.alembic_upgrade = upgrade  # type: ignore[assignment]


def take_turns_at_writing() -> None:
    """Let each transaction of SQLite wait for the lock to write before it reads anything.

    One that reads first, as the one that makes a run of a deployment, fails at its first write where another has
    written meanwhile, however long it may wait for the lock (SQLITE_BUSY_SNAPSHOT): 503, "Service Unavailable".
    """
    from prefect.server.database.configurations import AioSqliteConfiguration

    of_prefect = AioSqliteConfiguration.begin_transaction

    def begin(self: Any, session: Any, with_for_update: bool = True) -> Any:
        return of_prefect(self, session, with_for_update=True)

    AioSqliteConfiguration.begin_transaction = begin  # type: ignore[method-assign]
