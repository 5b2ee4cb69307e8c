"""Authenticates the messages between master and workers of a distributed load by a shared token.

Each message carries a keyed hash over all that it says, over which side it comes from and over a
number that only grows, so that nothing of a stranger's is read, and nothing is taken twice. The
master's session is in the hash too: what was recorded of an earlier load is of no use in a later.
What is said is not encrypted.
"""

import hashlib
import hmac
import secrets
import time
from enum import Enum
from functools import cache

from hotfire.errors import ProfileError
from hotfire.traffic.workload.secret import from_environment

VARIABLE = "HOTFIRE_LOAD_TOKEN"
"""Environment variable that hands the token on; an argument list would show it to everybody."""
SHORTEST = 32
_MAC_BYTES = hashlib.sha256().digest_size
_NUMBER_BYTES = 8
SESSION_BYTES = 16
NO_SESSION = bytes(SESSION_BYTES)


class Side(Enum):
    """Who speaks."""

    MASTER = b"m"
    WORKER = b"w"


@cache
def load_token() -> str:
    """Return the token of this process's loads: as the environment names it, else a new one."""
    return given_token() or secrets.token_hex(SHORTEST)


def given_token() -> str | None:
    """Return the token that this process was given; None if there is none.

    Raises:
        ProfileError: it is too short to be one.
    """
    token = from_environment(VARIABLE)
    if token is not None and len(token) < SHORTEST:
        raise ProfileError(f"{VARIABLE}: {SHORTEST} characters at least, all random; {REMEDY}")
    return token


REMEDY = (
    f"export the same {VARIABLE} for the master and each worker, a new one for each load, such as"
    " `openssl rand -hex 32` prints"
)


class Seal:
    """One side's seal: makes frames of its messages, and messages of the other side's frames."""

    def __init__(self, token: str, side: Side, *, session: bytes = NO_SESSION) -> None:
        """Take the token; the master names its ``session``, a worker learns it."""
        self._key = hashlib.sha256(b"hotfire load " + token.encode()).digest()
        self._side = side
        self._session = session
        self._number = 0
        self._heard: dict[bytes, int] = {}

    def frame(self, peer: bytes, message: bytes) -> bytes:
        """Return a message as it goes over the wire; ``peer`` is the worker's name on the bus."""
        # A new connection of the same worker goes on where the last one ended.
        self._number = max(self._number + 1, time.time_ns())
        said = self._session + self._number.to_bytes(_NUMBER_BYTES, "big") + message
        return self._mac(self._side, peer, said) + said

    def message(self, peer: bytes, frame: bytes) -> tuple[bytes, bool] | None:
        """Return what a frame of the other side says, and whether it is of this very session.

        None if it proves nothing or is stale. A worker is of no session until it has heard the
        master; all it may say by then is that it is there.
        """
        mac, said = frame[:_MAC_BYTES], frame[_MAC_BYTES:]
        other = Side.WORKER if self._side is Side.MASTER else Side.MASTER
        if not hmac.compare_digest(mac, self._mac(other, peer, said)):
            return None
        session, rest = said[:SESSION_BYTES], said[SESSION_BYTES:]
        number = int.from_bytes(rest[:_NUMBER_BYTES], "big")
        if self._side is Side.WORKER and self._session == NO_SESSION:
            self._session = session
        if session not in (self._session, NO_SESSION) or number <= self._heard.get(peer, 0):
            return None
        self._heard[peer] = number
        return rest[_NUMBER_BYTES:], session == self._session

    def _mac(self, side: Side, peer: bytes, said: bytes) -> bytes:
        covered = side.value + len(peer).to_bytes(2, "big") + peer + said
        return hmac.digest(self._key, covered, "sha256")
