"""The external authorization of the reference stack: who asks, for which model, and how often.

A gateway asks it about each request, by Envoy's ``ext_authz`` over HTTP. It needs nothing but
Python 3.11, so that a stock image can run it from a ConfigMap:

    python authorizer.py RULES KEYS PORT

RULES is a JSON file with the tenants and the issuer of tokens, KEYS a folder with a file for each
tenant's API key and one, ``issuer``, for the key that signs tokens. It counts in its own memory:
there has to be one of it, however many replicas the gateway has. What it cannot decide is refused.
"""

import base64
import binascii
import dataclasses
import hashlib
import hmac
import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

Json = dict[str, Any]

CHECK, READY = "/check/", "/ready"
"""Below the first lie the paths that clients ask for, whatever they are."""
ISSUER = "issuer"
TENANT = "X-Tenant"
"""Header that tells the gateway whose request it passes."""
BEARER = "bearer "
MOST_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the gateway is told; with 200 the request passes, all else goes to the client."""

    status: int
    message: str = ""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


PASS = Answer(200)
NOBODY = Answer(401, "No valid API key or token was shown.", {"WWW-Authenticate": "Bearer"})


@dataclasses.dataclass
class Allowance:
    """So many requests in so many seconds, as a bucket that fills steadily."""

    requests: int
    seconds: float
    clock: Callable[[], float] = time.monotonic
    lock: Lock = dataclasses.field(default_factory=Lock)

    def __post_init__(self) -> None:
        self._left, self._at = float(self.requests), self.clock()

    def wait_seconds(self) -> float:
        """Take one request and return 0, or the time until there is one to take."""
        pace = self.requests / self.seconds
        with self.lock:
            now = self.clock()
            filled = self._left + (now - self._at) * pace
            self._left, self._at = min(float(self.requests), filled), now
            if self._left < 1:
                return (1 - self._left) / pace
            self._left -= 1
            return 0.0


@dataclasses.dataclass(frozen=True)
class Tenant:
    """One of those who share the platform."""

    models: frozenset[str]
    allowance: Allowance | None

    @classmethod
    def of(cls, rules: Json) -> "Tenant":
        """Return what the rules say of one; raises KeyError, TypeError or ValueError."""
        limit = rules.get("limit")
        return cls(
            frozenset(rules["models"]),
            Allowance(int(limit["requests"]), float(limit["seconds"])) if limit else None,
        )


class Tokens:
    """Reads the tokens of one issuer: JSON Web Tokens, signed by HMAC with SHA-256."""

    def __init__(self, key: bytes, issuer: str, audience: str) -> None:
        self._key, self._issuer, self._audience = key, issuer, audience

    def subject(self, token: str) -> str | None:
        """Return whose token it is; None: it is not valid, here and now."""
        try:
            signed, _, signature = token.rpartition(".")
            head, _, claims = signed.partition(".")
            right = hmac.digest(self._key, signed.encode(), hashlib.sha256)
            genuine = hmac.compare_digest(right, unpacked(signature))
            if not genuine or json.loads(unpacked(head))["alg"] != "HS256":
                return None
            return self._valid(json.loads(unpacked(claims)))
        except (ValueError, KeyError, TypeError):
            return None

    def _valid(self, claims: Json) -> str | None:
        audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        now = time.time()
        meant = claims["iss"] == self._issuer and self._audience in audiences
        timely = claims.get("nbf", 0) <= now < claims["exp"]
        return str(claims["sub"]) if meant and timely else None


def unpacked(text: str) -> bytes:
    """Return what a part of a token holds; raises ValueError."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error


class Authorizer:
    """Decides about one request after the other."""

    def __init__(self, rules: Json, keys: Mapping[str, bytes]) -> None:
        """Take the rules and the keys by name; raises KeyError, TypeError or ValueError."""
        self._tenants = {name: Tenant.of(one) for name, one in rules["tenants"].items()}
        self._keys = {name: key for name, key in keys.items() if name in self._tenants}
        issuer = rules["tokens"]
        self._tokens = Tokens(keys[ISSUER], issuer["issuer"], issuer["audience"])

    def decide(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Return what becomes of a request; the names of its headers are in lower case."""
        name = self._name(headers) or ""
        tenant = self._tenants.get(name)
        answer = _about(tenant, body) if tenant else NOBODY
        return dataclasses.replace(answer, headers={TENANT: name}) if answer is PASS else answer

    def _name(self, headers: Mapping[str, str]) -> str | None:
        """Return who asks; None: nobody whom we know."""
        bearer = headers.get("authorization", "")
        shown = bearer[len(BEARER) :] if bearer.lower().startswith(BEARER) else ""
        shown = shown or headers.get("x-api-key", "")
        # All are compared, so that the time tells nothing.
        owners = [
            name for name, key in self._keys.items() if hmac.compare_digest(key, shown.encode())
        ]
        return owners[0] if owners else self._tokens.subject(shown)


def _about(tenant: Tenant, body: bytes) -> Answer:
    wait = tenant.allowance.wait_seconds() if tenant.allowance else 0.0
    if wait:
        again = {"Retry-After": str(math.ceil(wait))}
        return Answer(429, "The tenant's limit of requests is reached.", again)
    return _about_model(tenant, body) if body else PASS


def _about_model(tenant: Tenant, body: bytes) -> Answer:
    try:
        model = json.loads(body, object_pairs_hook=_once)["model"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return Answer(400, "The body must be a JSON object that names its model once.")
    if not isinstance(model, str) or model not in tenant.models:
        return Answer(403, "The tenant may not use this model.")
    return PASS


def _once(pairs: list[tuple[str, Any]]) -> Json:
    """Return an object; of two fields of a name an engine may take the other one than we do."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name comes twice")
    return found


class Handler(BaseHTTPRequestHandler):
    """Reads the gateway's questions, whatever method its client uses."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    authorizer: Authorizer

    def answer(self) -> None:
        """Decide about a request, or say that we are there."""
        body = self.rfile.read(min(int(self.headers.get("content-length") or 0), MOST_BYTES))
        if self.path.startswith(CHECK):
            shown = {name.lower(): value for name, value in self.headers.items()}
            self._say(self.authorizer.decide(shown, body))
        else:
            self._say(PASS if self.path == READY else Answer(404, "Nothing is here."))

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer  # noqa: N815

    def _say(self, answer: Answer) -> None:
        error = {"message": answer.message, "type": "invalid_request_error", "code": answer.status}
        content = json.dumps({"error": error}).encode() if answer.message else b""
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: who asks what is nobody's business here."""


class Server(ThreadingHTTPServer):
    """Keeps a connection for each of the gateway's."""

    daemon_threads = True
    request_queue_size = 128


def main(arguments: list[str]) -> None:
    """Answer until the process is ended; ends at once where rules or keys cannot be read."""
    rules, keys, port = arguments
    folder = (path for path in Path(keys).iterdir() if path.is_file())
    known = {path.name: path.read_bytes().strip() for path in folder}
    Handler.authorizer = Authorizer(json.loads(Path(rules).read_text(encoding="utf-8")), known)
    server = Server(("", int(port)), Handler)
    sys.stdout.write(f"listening on {server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
