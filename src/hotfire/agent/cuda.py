"""GPU memory through the driver's own library, without any CUDA toolkit."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hotfire.agent.host import Host, OperationError

# Where drivers lie: distribution packages, and the GPU Operator's driver container.
LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/libcuda.so.1",
    "/usr/lib/aarch64-linux-gnu/libcuda.so.1",
    "/usr/lib64/libcuda.so.1",
    "/run/nvidia/driver/usr/lib/x86_64-linux-gnu/libcuda.so.1",
    "/run/nvidia/driver/usr/lib64/libcuda.so.1",
)
_LARGEST_BYTES, _SMALLEST_BYTES = 1 << 30, 1 << 21


def library(host: Host) -> str:
    """Return the path of the node's libcuda as this process can load it.

    Raises:
        OperationError: this node has no NVIDIA driver in a known place.
    """
    for candidate in LIBRARIES:
        if (path := host.path(candidate)).exists():
            return str(path)
    raise OperationError(f"no libcuda.so.1 on this node; looked at {', '.join(LIBRARIES)}")


def gpus(host: Host) -> dict[str, object]:
    """Return index, UUID and memory of the node's GPUs, as `nvidia-smi` tells."""
    fields = ("index", "uuid", "memory.total", "memory.used")
    shown = host.run(
        ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    )
    rows = [[cell.strip() for cell in line.split(",")] for line in shown.splitlines() if line]
    names = ("index", "uuid", "total_mebibytes", "used_mebibytes")
    return {"gpus": [dict(zip(names, row, strict=False)) for row in rows]}


@dataclass
class Device:
    """The first visible GPU and what we took of it."""

    driver: ctypes.CDLL
    taken: list[int] = field(default_factory=list)

    def memory(self) -> tuple[int, int]:
        """Return free and total bytes."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        _check(self.driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)), "cuMemGetInfo")
        return free.value, total.value

    def take_all(self) -> int:
        """Allocate until even a small piece is refused; return the bytes taken."""
        size, taken = _LARGEST_BYTES, 0
        while size >= _SMALLEST_BYTES:
            address = ctypes.c_uint64()
            if self.driver.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(size)):
                size //= 2
            else:
                self.taken.append(address.value)
                taken += size
        return taken


@contextmanager
def device(path: str) -> Iterator[Device]:
    """Yield the first visible GPU; everything taken is given back at the end."""
    driver, context = ctypes.CDLL(path), ctypes.c_void_p()
    _check(driver.cuInit(0), "cuInit")
    _check(driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0), "cuDevicePrimaryCtxRetain")
    _check(driver.cuCtxSetCurrent(context), "cuCtxSetCurrent")
    try:
        yield Device(driver)
    finally:
        driver.cuDevicePrimaryCtxRelease_v2(0)


def _check(code: int, call: str) -> None:
    if code:
        raise OperationError(f"{call} returned CUDA error {code}")
