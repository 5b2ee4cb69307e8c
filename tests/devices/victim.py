"""A program that wants GPU memory beside the hog: by libcuda alone, or as an engine by PyTorch."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

GIBIBYTE = 1 << 30
# Each takes what its input asks for, one number of bytes a line, and answers with one line.
_BARE = """
import pathlib, sys
from hotfire.agent import cuda, host
with cuda.device(cuda.library(host.Host((), pathlib.Path("/")))) as device:
    print("ready", flush=True)
    for line in sys.stdin:
        try:
            device.take(int(line))
            print("taken", flush=True)
        except host.OperationError as error:
            print(error, flush=True)
"""
_TORCH = """
import sys, torch
held = [torch.zeros(1, device="cuda")]
print("ready", flush=True)
for line in sys.stdin:
    try:
        held.append(torch.empty(int(line), dtype=torch.uint8, device="cuda"))
        print("taken", flush=True)
    except RuntimeError as error:
        print(type(error).__name__, *str(error).split(), flush=True)
"""


@dataclass
class Victim:
    """One running program with a CUDA context."""

    process: subprocess.Popen[str]

    def take(self, size: int) -> str:
        """Return ``taken``, or what it said when it was refused so many bytes."""
        if self.process.stdin is None:
            return ""
        self.process.stdin.write(f"{size}\n")
        self.process.stdin.flush()
        return self.said()

    def said(self) -> str:
        """Return the next line of its output; empty when it has ended."""
        return self.process.stdout.readline().strip() if self.process.stdout else ""


@contextmanager
def bare() -> Iterator[Victim]:
    """Yield a program that speaks to libcuda alone; without a context it is `ready` never."""
    with _running(_BARE) as victim:
        yield victim


@contextmanager
def by_torch() -> Iterator[Victim]:
    """Yield one that allocates through PyTorch, as engines do."""
    with _running(_TORCH) as victim:
        yield victim


def fresh(program: str = _BARE) -> str:
    """Start one that wants nothing but a context; return all it says until its end."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
        env=_environment(),
    )
    return done.stdout


def fresh_by_torch() -> str:
    """Do the same through PyTorch."""
    return fresh(_TORCH)


@contextmanager
def _running(program: str) -> Iterator[Victim]:
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=_environment(),
    )
    try:
        yield Victim(process)
    finally:
        process.kill()
        process.communicate(timeout=30)


def _environment() -> dict[str, str]:
    packages = Path(__file__).resolve().parents[2] / "src"
    return {**os.environ, "PYTHONPATH": f"{packages}:{os.environ.get('PYTHONPATH', '')}"}
