"""A peer that answers with raw bytes: whatever a broken or a hostile server may send."""

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

Pieces = Callable[[], Iterable[bytes | float]]
"""Bytes to send, and seconds to wait before what comes next."""


@contextmanager
def answering(pieces: Pieces) -> Iterator[str]:
    """Serve the same pieces to whoever comes; yield the URL."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)

        def accept() -> None:
            while not over.is_set():
                with suppress(TimeoutError, OSError):
                    serve = threading.Thread(target=_serve, args=(listener.accept()[0],))
                    serve.daemon = True
                    serve.start()

        def _serve(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                connection.settimeout(30)
                connection.recv(1 << 16)
                for piece in pieces():
                    if isinstance(piece, float):
                        over.wait(piece)
                    else:
                        connection.sendall(piece)
                    if over.is_set():
                        return

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            accepting.join()
