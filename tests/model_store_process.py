"""The lab's model store as a process on this machine's loopback, over a small model."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from hotfire.lab import programs
from hotfire.waiting import until
from tests.ports import free_port

PROGRAM = programs.path("model_store.py")
WEIGHTS = bytes(range(256)) * 1000
FILES = {"config.json": b'{"layers": 2}\n', "weights/one.safetensors": WEIGHTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStore:
    """A running store: where it is asked, and the file that breaks it."""

    url: str
    mode: Path

    @property
    def model_url(self) -> str:
        return f"{self.url}/models/tiny"


@contextmanager
def model_store(directory: Path) -> Iterator[ModelStore]:
    """Run a store over the small model below a directory."""
    for name, content in FILES.items():
        path = directory / "models" / "tiny" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    port = free_port()
    store = ModelStore(url=f"http://127.0.0.1:{port}", mode=directory / "mode")
    words = ["127.0.0.1", str(port), str(directory / "models"), str(store.mode)]
    argv = [sys.executable, "-I", "-S", str(PROGRAM), *words]
    process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    try:
        until(lambda: healthy(store.url), within_seconds=90, what="the store", poll_seconds=0.05)
        yield store
    finally:
        process.kill()
        process.wait()


def healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").text == "ok\n"
    except httpx.TransportError:
        return False
