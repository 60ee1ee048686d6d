"""A file server on loopback that fails on purpose, as servers do."""

import hashlib
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULTS = ("unavailable", "too_many", "reset", "truncated", "stalled")
STALL_SECONDS = 1.5


@dataclass
class Request:
    path: str
    range: str
    user_agent: str
    time: float
    authorization: str | None = None
    fault: str | None = None
    status: int = 0
    sent: int = 0


@dataclass
class Loopback:
    """What is served, how often it fails, and what was asked."""

    files: Mapping[str, bytes]
    url: str = ""
    fail_each: int = 0  # every so many answers, one fails; 0: none
    faults: tuple[str, ...] = FAULTS
    script: dict[str, list[str]] = field(default_factory=dict)  # faults of the next answers of one path
    retry_after: str = "0"
    requests: list[Request] = field(default_factory=list)
    most_at_once: int = 0
    at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fault(self, request: Request) -> str | None:
        if scripted := self.script.get(request.path):
            return scripted.pop(0)
        if not self.fail_each or (len(self.requests) + 1) % self.fail_each:
            return None
        return self.faults[len(self.requests) // self.fail_each % len(self.faults)]

    def counts(self) -> Counter[tuple[str, str]]:
        """How often each request was made."""
        return Counter((request.path, request.range) for request in self.requests)

    def sent(self, part: str = "") -> int:
        return sum(request.sent for request in self.requests if part in request.path)


@contextmanager
def serving(files: Mapping[str, bytes]) -> Iterator[Loopback]:
    loopback = Loopback(files)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # the body is sent behind the headers: it would wait 40 ms for their receipt

        def do_GET(self) -> None:
            path = self.path.lstrip("/")
            request = Request(path, self.headers.get("Range", ""), self.headers["User-Agent"], time.monotonic())
            request.authorization = self.headers["Authorization"]
            with loopback.lock:
                fault = request.fault = loopback.fault(request)
                loopback.requests.append(request)
                loopback.at_once += 1
                self.is_counted = True
                loopback.most_at_once = max(loopback.most_at_once, loopback.at_once)
            try:
                self.answer(path, request, fault)
            finally:
                self.end_count()

        def end_count(self) -> None:
            """Count a request no more, before its answer's last byte: then its client may send the next."""
            with loopback.lock:
                loopback.at_once -= self.is_counted
                self.is_counted = False

        def answer(self, path: str, request: Request, fault: str | None) -> None:
            if fault in ("unavailable", "too_many"):
                self.head(request, 503 if fault == "unavailable" else 429, 0, {"Retry-After": loopback.retry_after})
                return
            if path not in loopback.files:
                self.head(request, 404, 0, {})
                return
            content = loopback.files[path]
            etag = {"ETag": f'"{hashlib.sha256(content).hexdigest()[:16]}"'}
            start, end = self.extent(request.range, len(content))
            if start >= len(content):
                self.head(request, 416, 0, {"Content-Range": f"bytes */{len(content)}"})
                return
            if fault == "no_ranges" or self.headers.get("If-Range", etag["ETag"]) != etag["ETag"]:
                start, end, place = 0, len(content), {}
            else:
                place = {"Content-Range": f"bytes {start}-{end - 1}/{len(content)}"}
            self.head(request, 206 if place else 200, end - start, {**place, **etag})
            body = content[start:end]
            if fault in ("reset", "truncated", "stalled"):
                body = body[: len(body) // 2]
            self.wfile.write(body[:-1])
            self.end_count()
            self.wfile.write(body[-1:])
            request.sent = len(body)
            if fault == "stalled":
                time.sleep(STALL_SECONDS)
            if fault == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if fault in ("reset", "truncated", "stalled"):
                self.close_connection = True

        def extent(self, asked: str, size: int) -> tuple[int, int]:
            found = re.fullmatch(r"bytes=(\d*)-(\d*)", asked)
            if found is None:
                return 0, size
            if not found[1]:
                return max(size - int(found[2]), 0), size
            return int(found[1]), min(int(found[2]) + 1, size) if found[2] else size

        def head(self, request: Request, status: int, length: int, headers: dict[str, str]) -> None:
            request.status = status
            self.send_response(status)
            for name, value in {"Content-Length": str(length), **headers}.items():
                self.send_header(name, value)
            if not length:
                self.end_count()
            self.end_headers()

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:  # the client had enough
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        loopback.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield loopback
        finally:
            server.shutdown()
            thread.join()
