"""GPU memory through the driver's own library, without any CUDA toolkit."""

import ctypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hotfire.agent.host import Host, OperationError

_GKE, _OPERATOR = "/home/kubernetes/bin/nvidia", "/run/nvidia/driver"
# Where drivers lie: distribution packages, GKE's installer, where containers see that one's, and
# the GPU Operator's driver container.
LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/libcuda.so.1",
    "/usr/lib/aarch64-linux-gnu/libcuda.so.1",
    "/usr/lib64/libcuda.so.1",
    f"{_GKE}/lib64/libcuda.so.1",
    "/usr/local/nvidia/lib64/libcuda.so.1",
    f"{_OPERATOR}/usr/lib/x86_64-linux-gnu/libcuda.so.1",
    f"{_OPERATOR}/usr/lib64/libcuda.so.1",
)
# The same places' nvidia-smi, and how each is started; the first that is there.
_PROGRAMS = {
    "/usr/bin/nvidia-smi": ["nvidia-smi"],
    f"{_GKE}/bin/nvidia-smi": ["env", f"LD_LIBRARY_PATH={_GKE}/lib64", f"{_GKE}/bin/nvidia-smi"],
    f"{_OPERATOR}/usr/bin/nvidia-smi": ["chroot", _OPERATOR, "nvidia-smi"],
}
_UUID = re.compile(r"\(UUID: ((?:GPU|MIG)-[^)]+)\)")
REFUSALS = ("CUDA out of memory", "CUDA error: out of memory", "OutOfMemoryError")
"""What a program prints that the device refused memory, by PyTorch's words."""
_LARGEST_BYTES, _SMALLEST_BYTES = 1 << 30, 1 << 21
_OUT_OF_MEMORY = 2


class OutOfDeviceMemoryError(OperationError):
    """The GPU has no room for this."""


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
    shown = _smi(host, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits")
    rows = [[cell.strip() for cell in line.split(",")] for line in shown.splitlines() if line]
    names = ("index", "uuid", "total_mebibytes", "used_mebibytes")
    return {"gpus": [dict(zip(names, row, strict=False)) for row in rows]}


def uuids(host: Host) -> list[str]:
    """Return the UUIDs of the node's GPUs and MIG instances, as `nvidia-smi` tells."""
    return _UUID.findall(_smi(host, "-L"))


def _smi(host: Host, *words: str) -> str:
    there = (argv for path, argv in _PROGRAMS.items() if host.path(path).exists())
    return host.run([*next(there, ["nvidia-smi"]), *words])


@dataclass
class Device:
    """The first visible GPU and what we took of it."""

    driver: ctypes.CDLL
    taken_bytes: int = 0

    def memory(self) -> tuple[int, int]:
        """Return free and total bytes."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        code = self.driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
        _check(self.driver, code, "cuMemGetInfo")
        return free.value, total.value

    def take(self, size: int) -> None:
        """Allocate one piece of so many bytes and keep it.

        Raises:
            OutOfDeviceMemoryError: there is no room for it.
            OperationError: the driver failed otherwise, such as for a GPU that was lost.
        """
        address = ctypes.c_uint64()
        code = self.driver.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(size))
        _check(self.driver, code, f"cuMemAlloc of {size} bytes")
        self.taken_bytes += size

    def take_all(self) -> None:
        """Allocate until even a small piece is refused."""
        size = _LARGEST_BYTES
        while size >= _SMALLEST_BYTES:
            try:
                self.take(size)
            except OutOfDeviceMemoryError:
                size //= 2


@contextmanager
def device(path: str) -> Iterator[Device]:
    """Yield the first visible GPU; everything taken is given back at the end.

    Raises:
        OutOfDeviceMemoryError: there is no room even for a context, some hundred MiB.
        OperationError: the library does not load, or shows no GPU.
    """
    driver, context = _load(path), ctypes.c_void_p()
    _check(driver, driver.cuInit(0), "cuInit")
    code = driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)
    _check(driver, code, "cuDevicePrimaryCtxRetain")
    try:
        _check(driver, driver.cuCtxSetCurrent(context), "cuCtxSetCurrent")
        yield Device(driver)
    finally:
        driver.cuDevicePrimaryCtxRelease_v2(0)


def _load(path: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        raise OperationError(f"{path} does not load: {error}") from error


def _check(driver: ctypes.CDLL, code: int, call: str) -> None:
    if code:
        text = ctypes.c_char_p()
        driver.cuGetErrorString(code, ctypes.byref(text))
        kind = OutOfDeviceMemoryError if code == _OUT_OF_MEMORY else OperationError
        raise kind(f"{call}: {(text.value or b'unknown').decode()} (CUDA error {code})")
