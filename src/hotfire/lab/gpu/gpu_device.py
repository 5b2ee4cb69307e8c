"""What a GPU's device node says about itself and what its node keeps about it: one layout for all.

A GPU of the lab is a block device. Its first sector is its UUID, its second the rest of what a
driver would tell, as JSON. Only who may open the device can read it, so what a container learns of
a GPU is decided by the kernel.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

SECTOR_BYTES = 512
IMAGE_BYTES = 4096
MULTIPROCESSORS = 132
HEALTH = Path("/var/lib/hotfire/gpu-health")
"""A file named after a GPU's UUID holds the Xid of its error, in decimal."""
# What a program did wrong on its GPU; NVIDIA's device plugin takes no GPU away for these.
_HARMLESS_XIDS = frozenset({13, 31, 43, 45, 68, 109})
LIVE = Path("/run/hotfire/gpus")
"""A directory for each device's UUID; its file says what the device is doing right now."""
LIVE_FILE = "state.json"
_FIRST_BUS, _BUS_STEP = 0x18, 0x10
_GPU_NODES, _INSTANCE_NODES = "nvidia[0-9]*", "nvidia-caps/nvidia-cap*"


@dataclass(frozen=True, slots=True, kw_only=True)
class MigInstance:
    """A part of a GPU with memory and processors of its own; ``position`` counts them."""

    profile: str
    position: int
    gpu_instance: int
    multiprocessors: int
    copy_engines: int
    decoders: int
    parent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuDevice:
    """One GPU or one MIG instance; ``index`` is the GPU's on its node, ``node`` lies below /dev."""

    node: str
    uuid: str
    index: int
    name: str
    memory_mebibytes: int
    compute_mode: str
    driver_version: str
    cuda_version: str
    mig_enabled: bool = False
    mig: MigInstance | None = None

    @property
    def gpu(self) -> str:
        """The UUID of the physical GPU."""
        return self.mig.parent if self.mig else self.uuid

    @property
    def pci_bus_id(self) -> str:
        """Where a card of this number would sit."""
        return f"00000000:{_FIRST_BUS + _BUS_STEP * self.index:02X}:00.0"


def encode(device: GpuDevice) -> bytes:
    """Return the content of a device; where its node lies is not part of it."""
    facts = {name: value for name, value in asdict(device).items() if name != "node"}
    content = device.uuid.encode().ljust(SECTOR_BYTES, b"\0") + json.dumps(facts).encode()
    return content.ljust(IMAGE_BYTES, b"\0")


def decode(content: bytes, node: str) -> GpuDevice:
    """Return the device whose content this is."""
    facts = json.loads(content[SECTOR_BYTES:].rstrip(b"\0"))
    mig = MigInstance(**facts["mig"]) if facts["mig"] else None
    return GpuDevice(**{**facts, "mig": mig, "node": node})


def scan(dev: Path) -> Iterator[GpuDevice]:
    """Yield every GPU and MIG instance below a /dev in the order of their numbers."""
    for pattern in (_GPU_NODES, _INSTANCE_NODES):
        for path in sorted(dev.glob(pattern), key=_number):
            with path.open("rb") as device:
                yield decode(device.read(IMAGE_BYTES), str(path.relative_to(dev)))


def _number(path: Path) -> int:
    return int("".join(letter for letter in path.name if letter.isdigit()))


def xids(directory: Path) -> dict[str, int]:
    """Return the GPUs that have an error and their Xids; 0 where the file holds no number."""
    if not directory.is_dir():
        return {}
    return {path.name: _xid(path) for path in directory.iterdir()}


def broken(directory: Path) -> dict[str, int]:
    """Return the GPUs that are not to be given out, and their Xids."""
    return {gpu: xid for gpu, xid in xids(directory).items() if xid not in _HARMLESS_XIDS}


def _xid(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0
