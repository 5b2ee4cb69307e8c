"""Which errors of the API server may pass by themselves, and how to follow objects over them."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final, Self

import urllib3
from kubernetes import client as k8s

from hotfire.errors import ClusterError

DOOR: Final = "the API server"
_NO_ANSWER, _GONE, _TOO_MANY = 0, 410, 429
# A server that shows another name or certificate, or cannot be found, is a matter of configuration.
_LASTING: Final = (
    urllib3.exceptions.LocationValueError,
    urllib3.exceptions.NameResolutionError,
)
_HANDSHAKE: Final = re.compile(r"Handshake status (\d{3})")
_WATCH_SECONDS: Final = 5
_PAUSE_SECONDS: Final = 0.5


class Unreached(ClusterError):  # noqa: N818 - reads as the sentence it is
    """The way to a command did not open, or broke off before its end."""


def passing(error: Exception) -> float | None:
    """Return how long to wait at least until an error may have passed; None: it will not pass.

    Connections refused, cut or silent, 429 and 5xx pass; every other refusal is an answer.
    """
    if isinstance(error, Unreached):
        return 0.0
    if isinstance(error, k8s.ApiException):
        return _passing_answer(error)
    if isinstance(error, urllib3.exceptions.MaxRetryError):
        error = error.reason or error
    unanswered = isinstance(error, urllib3.exceptions.HTTPError | OSError)
    return 0.0 if unanswered and not isinstance(error, _LASTING) else None


def opening(error: k8s.ApiException) -> bool:
    """Return whether a command's way did not open for a reason that may pass."""
    found = _HANDSHAKE.search(str(error.reason))
    status = int(found[1]) if found else error.status
    return _passes(status or _NO_ANSWER, str(error.reason))


def _passing_answer(error: k8s.ApiException) -> float | None:
    if not _passes(error.status or _NO_ANSWER, str(error.reason)):
        return None
    asked = str((error.headers or {}).get("Retry-After", ""))
    return float(asked) if asked.isdecimal() else 0.0


def _passes(status: int, reason: str) -> bool:
    if status == _NO_ANSWER:
        return "certificate" not in reason.casefold()
    return status == _TOO_MANY or status >= 500


class Followed:
    """Every state of some objects from a moment on, as the API server tells it; a context manager.

    Looking again and again misses what begins and ends between two looks; this does not.
    """

    def __init__(self, listed: Callable[[], str], opened: Callable[[str], Any]) -> None:
        """Follow from the version that ``listed`` returns, over connections that ``opened`` makes.

        ``opened`` takes that version and returns a response of one JSON event a line.
        """
        self._listed = listed
        self._opened = opened
        self._version = ""
        self._states: list[dict[str, Any]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follow", daemon=True)

    def __enter__(self) -> Self:
        """Begin; whatever happens from here on is told.

        Raises:
            ClusterError: the API server does not answer.
        """
        self._version = self._listed()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(2 * _WATCH_SECONDS)

    def states(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return the states of one object, or of all of them, so far, oldest first."""
        return [one for one in list(self._states) if name in (None, one["metadata"]["name"])]

    def _follow(self) -> None:
        while not self._over.is_set():
            try:
                for state in self._told():
                    self._states.append(state)
                    self._version = state["metadata"]["resourceVersion"]
            except k8s.ApiException as error:
                if error.status == _GONE:
                    with suppress(ClusterError):
                        self._version = self._listed()
                self._over.wait(_PAUSE_SECONDS)
            except (urllib3.exceptions.HTTPError, OSError, ValueError):
                # Told again from the last version once the API server is back: nothing is missed.
                self._over.wait(_PAUSE_SECONDS)

    def _told(self) -> Iterator[dict[str, Any]]:
        response = self._opened(self._version)
        try:
            for line in _lines(response):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise k8s.ApiException(status=event["object"].get("code"), reason="watch")
                yield event["object"]
                if self._over.is_set():
                    return
        finally:
            response.close()


def watch_options(version: str) -> dict[str, Any]:
    """Return what turns a list into a watch that ends before the client's own deadline."""
    return {
        "watch": True,
        "resource_version": version,
        "timeout_seconds": _WATCH_SECONDS,
        "_request_timeout": 2 * _WATCH_SECONDS,
        "serialize": False,
    }


def _lines(response: Any) -> Iterator[bytes]:  # noqa: ANN401 - urllib3's, untyped by the client
    kept = b""
    for part in response.stream(amt=None):
        *whole, kept = (kept + part).split(b"\n")
        yield from filter(None, whole)
