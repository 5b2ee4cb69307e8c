"""What `nvidia-smi` says of a GPU: a witness that shares no code with the agent."""

import subprocess
from dataclasses import dataclass

from hotfire.errors import HarnessError
from hotfire.waiting import until

NEARLY_MEBIBYTES = 64
"""How far two readings of the same memory may differ: what the driver keeps for itself."""


@dataclass(frozen=True)
class Gpu:
    """One GPU by its UUID."""

    index: str
    uuid: str

    def free_mebibytes(self) -> int:
        return int(self.ask("memory.free"))

    def is_full(self) -> bool:
        return self.free_mebibytes() < NEARLY_MEBIBYTES

    def is_free(self, before: int) -> bool:
        """Return whether as much is free as at an earlier reading."""
        return self.free_mebibytes() > before - NEARLY_MEBIBYTES

    def await_full(self) -> None:
        until(self.is_full, within_seconds=60, what=f"{self.uuid} full", poll_seconds=0.1)

    def is_free_within(self, before: int, *, seconds: float) -> bool:
        try:
            until(lambda: self.is_free(before), within_seconds=seconds, what="free memory")
        except HarnessError:
            return False
        return True

    def ask(self, field: str) -> str:
        query = [f"--id={self.uuid}", f"--query-gpu={field}"]
        return _smi(*query).strip()


def gpus() -> list[Gpu]:
    """Return the GPUs in the order of their numbers.

    Raises:
        CalledProcessError: `nvidia-smi` is there, but no driver or no GPU.
    """
    lines = _smi("--query-gpu=index,uuid").splitlines()
    return [Gpu(*(cell.strip() for cell in line.split(","))) for line in lines]


def apps() -> dict[int, int]:
    """Return which process computes on a GPU and how many MiB it holds there; 0: not told."""
    rows = [line.split(",") for line in _smi("--query-compute-apps=pid,used_memory").splitlines()]
    return {int(pid): int(held) if held.strip().isdigit() else 0 for pid, held in rows}


def _smi(query: str, *more: str) -> str:
    words = ["nvidia-smi", query, *more, "--format=csv,noheader,nounits"]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout
