"""The webhook answers over TLS as the API server asks, run as a stock image would run it."""

import http.client
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from hotfire.engine import shape_webhook
from hotfire.lab.machine.pki import Authority
from hotfire.waiting import until
from tests.ports import free_port

PATIENT_SECONDS = 60.0
NAME = "shape-webhook.hotfire-stack.svc"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[HTTPSConnection]:
    authority, port = Authority(), free_port()
    pair = authority.issue(NAME, addresses=(NAME, "127.0.0.1"))
    (tmp_path / "tls.crt").write_bytes(pair.certificate)
    (tmp_path / "tls.key").write_bytes(pair.key)
    context = ssl.create_default_context(cadata=authority.certificate.decode())
    program = [sys.executable, "-I", "-S", str(Path(shape_webhook.__file__))]
    with subprocess.Popen([*program, str(tmp_path), str(port)]) as process:
        try:
            yield HTTPSConnection("127.0.0.1", port, timeout=PATIENT_SECONDS, context=context)
        finally:
            process.kill()


def asked(connection: HTTPSConnection, method: str, body: str = "") -> tuple[int, str]:
    def answer() -> tuple[int, str] | None:
        try:
            connection.request(method, "/?timeout=5s", body)
            reply = connection.getresponse()
            return reply.status, reply.read().decode()
        except (OSError, http.client.HTTPException):
            connection.close()
            return None

    found = until(answer, within_seconds=PATIENT_SECONDS, what="the webhook answering")
    assert found is not None
    return found


def test_it_says_that_it_is_there_and_denies(connection: HTTPSConnection) -> None:
    spec = {"replicas": 3, "gpusPerPod": 4, "tensorParallelSize": 8}
    request = {"uid": "r", "object": {"spec": spec}}
    review = {"apiVersion": "v1", "kind": "AdmissionReview", "request": request}

    there = asked(connection, "GET")
    denied = asked(connection, "POST", json.dumps(review))
    senseless = asked(connection, "POST", "{}")

    assert there[0] == 200
    assert "3 x 4 = 12" in json.loads(denied[1])["response"]["status"]["message"]
    assert senseless[0] == 400
