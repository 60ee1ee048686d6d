"""Hosts and ports that services listen on."""

import socket

LOOPBACK = "127.0.0.1"
REACHED_AT = {"0.0.0.0": LOOPBACK, "::": "::1"}  # addresses to listen on that nobody can be sent to


def address(host: str, port: int) -> str:
    """Where what listens on `host` can be asked."""
    host = REACHED_AT.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        return int(listener.getsockname()[1])


def port_is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0
