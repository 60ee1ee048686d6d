"""Connections whose answers must have their headers in time: a server that drips them would hold one for hours."""

import socket
import threading
from contextlib import suppress
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection


class _Deadline:
    """Ends the connection when the headers have not come within its time-out, however many bytes of them have."""

    sock: Any
    timeout: Any

    def getresponse(self) -> Any:
        late = threading.Event()
        timer = threading.Timer(self.timeout, _end, (self.sock, late))
        timer.daemon = True
        timer.start()
        try:
            response = super().getresponse()  # type: ignore[misc]
        finally:
            timer.cancel()
        if late.is_set():  # else headers that were cut would be taken for whole ones
            response.close()
            raise TimeoutError(f"the headers did not come within {self.timeout:g} s")
        return response


def _end(sock: socket.socket, late: threading.Event) -> None:
    late.set()
    with suppress(OSError):  # it is closed already
        sock.shutdown(socket.SHUT_RDWR)


class _Http(_Deadline, HTTPConnection):
    pass


class _Https(_Deadline, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


def with_header_deadline(manager: PoolManager) -> PoolManager:
    manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
    return manager
