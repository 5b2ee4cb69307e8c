"""The webhook of the reference stack's operator: a ModelServing whose numbers contradict is denied.

It needs nothing but Python 3.11, so that a stock image can run it from a ConfigMap:

    python -m hotfire.engine.shape_webhook FOLDER PORT

FOLDER has the certificate and its key, ``tls.crt`` and ``tls.key``. An engine that computes on N
accelerators at once needs N of them in its group: with fewer it never starts, and holds those that
it has. It runs beside the operator, not in it: what is refused is refused while that is away, too.
"""

import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def review(asked: Json) -> Json:
    """Return the answer to an AdmissionReview."""
    request = asked["request"]
    spec = request["object"]["spec"]
    given = spec["replicas"] * spec["gpusPerPod"]
    answer: Json = {"uid": request["uid"], "allowed": spec["tensorParallelSize"] == given}
    if not answer["allowed"]:
        message = (
            f"tensorParallelSize is {spec['tensorParallelSize']} and must be replicas x gpusPerPod"
            f" = {spec['replicas']} x {spec['gpusPerPod']} = {given}"
        )
        answer["status"] = {"code": 403, "reason": "Forbidden", "message": message}
    return {"apiVersion": asked["apiVersion"], "kind": asked["kind"], "response": answer}


class Handler(BaseHTTPRequestHandler):
    """Answers the API server's questions, and the kubelet's whether we are there."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Say that we are there."""
        self._say(200, {})

    def do_POST(self) -> None:
        """Answer an AdmissionReview."""
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            self._say(200, review(json.loads(body)))
        except (ValueError, KeyError, TypeError) as error:
            self._say(400, {"message": f"no AdmissionReview of a ModelServing: {error!r}"})

    def _say(self, status: int, document: Json) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the API server's audit log has it all."""


def main(folder: str, port: str) -> None:
    """Answer until the process is ended."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(folder, "tls.crt"), Path(folder, "tls.key"))
    server = ThreadingHTTPServer(("", int(port)), Handler)
    server.daemon_threads = True
    # Each handshake in its own thread: a peer that begins one and says no more stops nobody else.
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
