"""A Redis is there if it answers PING, be it with a question for a password."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from hotfire.agent import redis


def asked(port: int) -> dict[str, object]:
    return redis.ping({"address": "127.0.0.1", "port": port, "within_seconds": 0.5})


@pytest.mark.parametrize(
    ("says", "answered"),
    [("+PONG", True), ("-NOAUTH Authentication required.", True), ("-LOADING", False), ("", False)],
)
def test_it_answers_with_a_pong(says: str, answered: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as pool:

        def answer() -> None:
            peer, _ = listening.accept()
            with peer:
                assert peer.recv(100) == b"PING\r\n"
                peer.sendall(f"{says}\r\n".encode())

        served = pool.submit(answer)
        found = asked(listening.getsockname()[1])
        served.result()

    assert found == {"answered": answered, "said": says}


def test_who_accepts_and_never_answers_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        found = asked(listening.getsockname()[1])

    assert found == {"answered": False, "said": "TimeoutError: timed out"}


def test_who_does_not_listen_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

    assert "Refused" in str(asked(port)["said"])
