"""The scripted engine as a process of its own, for tests of what reads its streams."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from hotfire.engine import scripted

DEADLINE_SECONDS = 20


@dataclass(frozen=True, slots=True)
class EngineProcess:
    """A running engine; every call has a deadline."""

    port: int
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(self, method: str, path: str, document: object = None) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_SECONDS)
        try:
            body = None if document is None else json.dumps(document)
            connection.request(method, path, body=body)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def script(self, **values: object) -> None:
        status, body = self.call("POST", "/admin/config", values)
        assert status == 200, body

    def truth(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.call("GET", "/admin/truth")[1])
        return document


@contextmanager
def running_engine(*arguments: str) -> Iterator[EngineProcess]:
    """Run the file as it would run in a stock image: alone, isolated from this environment."""
    command = [sys.executable, "-I", "-S", str(Path(scripted.__file__))]
    command += ["--host", "127.0.0.1", "--port", "0", "--name", "engine-0", *arguments]
    # A session of its own, as the load has: Linux shares cores out by session, and beside all the
    # processes of the tests an engine that is asked by the clock would answer late.
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            yield EngineProcess(int(process.stdout.readline().split()[-1]), process)
        finally:
            process.kill()
