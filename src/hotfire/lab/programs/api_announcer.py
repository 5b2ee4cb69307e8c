"""Announces the API address while this member's API server is ready: a program of a member.

Never imported by the tool. The address lies on the loopback device, where BIRD picks it up and
tells the routers; without it they send clients to the other members. What is asked is /readyz, not
the port: a server whose etcd has lost its quorum still accepts connections.
``python api_announcer.py ADDRESS PORT CA_FILE``. Standard library only.
"""

import http.client
import ssl
import subprocess
import sys
import time

PERIOD_SECONDS = 0.25
ASKING_SECONDS = 1.0
PATIENCE_SECONDS = 2.0
"""A server that is busy for a moment keeps its clients; one that is gone loses them at once."""


def ready(port: int, context: ssl.SSLContext) -> bool | None:
    """Return whether the server is ready; None: it is there, and did not say so this time."""
    connection = http.client.HTTPSConnection(
        "127.0.0.1", port, timeout=ASKING_SECONDS, context=context
    )
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK or None
    except TimeoutError:
        return None
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class Address:
    """The announced address on the loopback device."""

    def __init__(self, address: str) -> None:
        self._address = f"{address}/32"
        self._there: bool | None = None

    def set(self, *, there: bool) -> None:
        """Bring the address up or down; nothing happens where it is so already."""
        if there == self._there:
            return
        verb = "replace" if there else "del"
        words = ["ip", "address", verb, self._address, "dev", "lo"]
        # At the start there may be none to delete.
        done = subprocess.run(words, stderr=subprocess.DEVNULL, timeout=5, check=False)
        if done.returncode == 0 or not there:
            self._there = there
            print("announced" if there else "withdrawn", flush=True)  # noqa: T201 - its log


def main() -> None:
    address, port, authority = Address(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    context = ssl.create_default_context(cafile=authority)
    doubted_at: float | None = None
    while True:
        answer, now = ready(port, context), time.monotonic()
        if answer is None:
            doubted_at = doubted_at or now
            answer = False if now - doubted_at >= PATIENCE_SECONDS else None
        else:
            doubted_at = None
        if answer is not None:
            address.set(there=answer)
        time.sleep(PERIOD_SECONDS)  # noqa: TID251 - a program of its own, without hotfire


if __name__ == "__main__":
    main()
