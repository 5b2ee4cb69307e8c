"""How long the agent takes to fill an idle NVIDIA GPU and to give it back; it fills the first one.

`PYTHONPATH=src python -m bench.gpu_hog [ROUNDS]`; all times in seconds, by the driver's own count
of free memory, read every millisecond.
"""

import ctypes
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from hotfire.waiting import until
from tests.agent.world import Agent
from tests.devices.witness import Gpu, gpus

FULL_BYTES = 64 << 20
POLL_SECONDS = 0.001


class Memory(ctypes.Structure):
    """nvmlMemory_t."""

    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


class Driver:
    """NVML's view of one GPU: quick enough to time by, and no code of the agent."""

    def __init__(self, gpu: Gpu) -> None:
        self._nvml, self._device = ctypes.CDLL("libnvidia-ml.so.1"), ctypes.c_void_p()
        self._ask("nvmlInit_v2")
        self._ask("nvmlDeviceGetHandleByUUID", gpu.uuid.encode(), ctypes.byref(self._device))
        self.idle_bytes = self.free_bytes()

    def free_bytes(self) -> int:
        memory = Memory()
        self._ask("nvmlDeviceGetMemoryInfo", self._device, ctypes.byref(memory))
        return int(memory.free)

    def is_full(self) -> bool:
        return self.free_bytes() < FULL_BYTES

    def is_free(self) -> bool:
        return self.free_bytes() > self.idle_bytes - FULL_BYTES

    def _ask(self, function: str, *args: object) -> None:
        if code := getattr(self._nvml, function)(*args):
            raise SystemExit(f"{function} returned {code}")


def one_round(gpu: Gpu, driver: Driver, folder: Path) -> Iterator[tuple[str, float]]:
    """Yield what each step took: filled twice, given back by the undo and by a killed agent."""
    agent = Agent(folder, prefix="env")
    agent.start()
    for id_ in ("undone", "killed"):
        begun = time.monotonic()
        agent.call("device.hog", id=id_, ttl_seconds=60, uuid=gpu.uuid)
        yield "the call that starts the hog", time.monotonic() - begun
        yield "filled since that call began", passed(begun, driver.is_full, "a full GPU")
        until(lambda: "taken_bytes" in told(agent, id_), within_seconds=10, what="the hog's word")  # noqa: B023
        yield "GiB taken", told(agent, id_)["taken_bytes"] / (1 << 30)
        yield "MiB of host memory the hog took", peak_mebibytes(told(agent, id_)["pid"])
        begun = time.monotonic()
        if id_ == "undone":
            agent.call("heal", id=id_)
            yield "the call that undoes it", time.monotonic() - begun
            yield "free since that call began", passed(begun, driver.is_free, "a free GPU")
    begun = time.monotonic()
    agent.process.kill()
    yield "free since the agent was killed", passed(begun, driver.is_free, "a free GPU")
    agent.end(signal.SIGKILL)


def told(agent: Agent, id_: str) -> dict[str, int]:
    observed: dict[str, int] = agent.call("entry", id=id_)["observed"]
    return observed


def passed(begun: float, reached: Callable[[], bool], what: str) -> float:
    until(reached, within_seconds=60, what=what, poll_seconds=POLL_SECONDS)
    return time.monotonic() - begun


def peak_mebibytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024


def main(rounds: int) -> None:
    gpu = gpus()[0]
    print(f"{gpu.ask('name')}, {gpu.ask('memory.total')} MiB, driver {gpu.ask('driver_version')}")
    driver, seen = Driver(gpu), defaultdict[str, list[float]](list)
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            for what, value in one_round(gpu, driver, Path(folder)):
                seen[what].append(value)
    for what, values in seen.items():
        middle, low, high = statistics.median(values), min(values), max(values)
        print(f"{what:34} median {middle:8.2f}   {low:.2f} to {high:.2f}   of {len(values)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 5)
