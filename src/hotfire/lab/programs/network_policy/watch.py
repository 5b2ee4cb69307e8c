"""List and watch over HTTPS with the pod's own token: every object once, then every change.

For other programs of the lab, too: with a client's certificate where there is no token.
"""

import http.client
import json
import logging
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

Object = Mapping[str, Any]
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_PAGE_OBJECTS = 500
_RETRY_SECONDS = 0.5
# The API server ends a watch after this long, and we resume it where it stood.
_WATCH_SECONDS = 300
# Nothing for that long: the way to the server may have died without a word. Resuming is cheap.
_SILENCE_SECONDS = 30
_log = logging.getLogger("network-policy")


class Api(NamedTuple):
    """Where the API server is, and the directory with the token and the authority to trust."""

    host: str
    port: int
    account: Path = _ACCOUNT
    client: str = ""
    """Name of the certificate and key there that prove who asks, instead of a token."""

    def get(self, path: str, **query: str | int) -> http.client.HTTPResponse:
        """Return an open answer.

        Raises:
            OSError, http.client.HTTPException: there is none.
            RefusedError: it is not 200.
        """
        return self._ask("GET", f"{path}?{urlencode(query)}", {}, None)

    def patch(self, path: str, change: Object) -> http.client.HTTPResponse:
        """Merge a change into an object and return an open answer; raises what `get` does."""
        kind = {"Content-Type": "application/merge-patch+json"}
        return self._ask("PATCH", path, kind, json.dumps(change))

    def _ask(
        self, method: str, path: str, headers: Mapping[str, str], body: str | None
    ) -> http.client.HTTPResponse:
        context = ssl.create_default_context(cafile=str(self.account / "ca.crt"))
        proof = self._proof(context)
        connection = http.client.HTTPSConnection(
            self.host, self.port, timeout=_SILENCE_SECONDS, context=context
        )
        connection.request(method, path, body, {**headers, **proof})
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise RefusedError(answer.status, answer.read().decode(errors="replace"))
        return answer

    def _proof(self, context: ssl.SSLContext) -> dict[str, str]:
        """Return the headers that prove who asks; a certificate needs none."""
        if self.client:
            pair = self.account / self.client
            context.load_cert_chain(pair.with_suffix(".crt"), pair.with_suffix(".key"))
            return {}
        # Read anew each time: the kubelet replaces it before it expires.
        return {"Authorization": f"Bearer {(self.account / 'token').read_text()}"}


class RefusedError(Exception):
    """The API server answered, but not with what was asked for."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"HTTP {status}: {text.strip()[:200]}")
        self.status = status


class Sink(NamedTuple):
    """What is told: all objects of a kind, then each change with its type."""

    replace: Callable[[list[Object]], None]
    change: Callable[[str, Object], None]


def follow(api: Api, path: str, sink: Sink, stop: threading.Event) -> None:
    """Keep a sink up to date until told to stop; outages are waited out, and resumed after."""
    version, said = "", ""
    while not stop.is_set():
        try:
            if not version:
                objects, version = listed(api, path)
                sink.replace(objects)
            for kind, item in _events(api, path, version):
                version = item["metadata"]["resourceVersion"]
                if kind != "BOOKMARK":
                    sink.change(kind, item)
        except RefusedError as error:
            said = _tell_once(path, said, str(error))
            # 410: our place in the history is gone. Any refusal is answered by a new list.
            version = ""
            stop.wait(_RETRY_SECONDS)
        except TimeoutError:
            continue  # Nothing happened, or the way is dead: resuming serves both.
        except (OSError, http.client.HTTPException, ValueError) as error:
            said = _tell_once(path, said, repr(error))
            stop.wait(_RETRY_SECONDS)


def _tell_once(path: str, former: str, text: str) -> str:
    """Log what went wrong unless it did so before; an outage is one line, not two a second."""
    if text != former:
        _log.info("%s: %s", path, text)
    return text


def listed(api: Api, path: str) -> tuple[list[Object], str]:
    """Return every object and the version from which to watch."""
    objects: list[Object] = []
    rest = ""
    while True:
        query = {"limit": _PAGE_OBJECTS} | ({"continue": rest} if rest else {})
        with api.get(path, **query) as answer:
            page = json.load(answer)
        objects += page["items"]
        rest = page["metadata"].get("continue", "")
        if not rest:
            return objects, page["metadata"]["resourceVersion"]


def _events(api: Api, path: str, version: str) -> Iterator[tuple[str, Object]]:
    query: dict[str, str | int] = {
        "watch": 1,
        "allowWatchBookmarks": "true",
        "resourceVersion": version,
    }
    with api.get(path, **query, timeoutSeconds=_WATCH_SECONDS) as answer:
        while line := answer.readline():
            event = json.loads(line)
            if event["type"] == "ERROR":
                raise RefusedError(
                    event["object"].get("code", 0), event["object"].get("message", "")
                )
            yield event["type"], event["object"]
