"""The API server, as a pod's own account reaches it, for the programs of the reference stack.

It needs nothing but Python 3.11, so that a stock image can run it from a ConfigMap.
"""

import http.client
import json
import ssl
from pathlib import Path
from typing import Any

Json = dict[str, Any]

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SERVER = "kubernetes.default.svc"
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"
ANSWER_SECONDS = 10.0


class Api:
    """Each method raises OSError where the API server does not answer so, or refuses."""

    def get(self, path: str) -> Json:
        """Return what lies there."""
        return self._asked("GET", path, None)

    def patch(self, path: str, body: Json) -> None:
        """Merge-patch an object."""
        self._asked("PATCH", path, body)

    def apply(self, path: str, body: Json, *, manager: str) -> Json:
        """Have an object be as the body says, whoever made it different; return it."""
        return self._asked("PATCH", f"{path}?fieldManager={manager}&force=true", body, APPLY)

    def delete(self, path: str) -> None:
        """Delete an object, and what belongs to it."""
        self._asked("DELETE", path, {"propagationPolicy": "Background"}, "application/json")

    def _asked(self, method: str, path: str, body: Json | None, kind: str = MERGE) -> Json:
        context = ssl.create_default_context(cafile=ACCOUNT / "ca.crt")
        server = http.client.HTTPSConnection(SERVER, timeout=ANSWER_SECONDS, context=context)
        token = (ACCOUNT / "token").read_text().strip()
        headers = {"authorization": f"Bearer {token}", "content-type": kind}
        try:
            server.request(method, path, None if body is None else json.dumps(body), headers)
            reply = server.getresponse()
            text = reply.read()
            if reply.status >= http.HTTPStatus.MULTIPLE_CHOICES:
                raise OSError(f"{method} {path}: {reply.status} {text[:200]!r}")
            found: Json = json.loads(text)
            return found
        finally:
            server.close()
