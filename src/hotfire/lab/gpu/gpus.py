"""How a node shares its GPUs, and what follows from it: devices, resources, settings."""

import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from hotfire.errors import LabError
from hotfire.lab.gpu import mig
from hotfire.lab.gpu.gpu_device import GpuDevice, MigInstance

RESOURCE = "nvidia.com/gpu"
MIG_RESOURCE_PREFIX = "nvidia.com/mig-"
CONFIG = "/etc/hotfire/gpus.json"
PRODUCT = "hotfire-lab-gpu"
MEMORY_MEBIBYTES = 81559
DRIVER_VERSION = "580.126.20"
CUDA_VERSION = "13.0"


class Strategy(StrEnum):
    """How the GPUs of a node are given out."""

    WHOLE = "whole"
    EXCLUSIVE = "exclusive"
    TIME_SLICING = "time-slicing"
    MIG = "mig"
    DRA = "dra"
    """By resource claim; no device plugin runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSharing:
    """How each GPU of one node is given out: whole, in ``replicas``, or as MIG ``instances``."""

    strategy: Strategy = Strategy.WHOLE
    replicas: int = 1
    instances: tuple[str, ...] = ()

    @classmethod
    def parse(cls, words: str) -> Self:
        """Return the sharing that words name: ``time-slicing=4``, ``mig=3g.40gb+1g.10gb*4``.

        Raises:
            LabError: they name nothing that a GPU can do.
        """
        name, _, value = words.partition("=")
        if name in ("", Strategy.WHOLE, Strategy.EXCLUSIVE, Strategy.DRA) and not value:
            return cls(strategy=Strategy(name or Strategy.WHOLE))
        if name == Strategy.TIME_SLICING and value.isdigit() and int(value) > 1:
            return cls(strategy=Strategy.TIME_SLICING, replicas=int(value))
        if name == Strategy.MIG:
            return cls(strategy=Strategy.MIG, instances=mig.instances(value))
        raise LabError(
            f"expected whole, exclusive, dra, time-slicing=N with N > 1, or mig=PROFILE*COUNT+..., "
            f"not {words!r}"
        )

    def resources(self, gpus: int) -> dict[str, int]:
        """Return what a node with so many GPUs offers by number, by resource name."""
        if self.strategy is Strategy.DRA:
            return {}
        names = Counter(MIG_RESOURCE_PREFIX + profile for profile in self.instances)
        each = names or {RESOURCE: self.replicas}
        return {name: gpus * count for name, count in each.items() if gpus}

    def devices(self, uuids: tuple[str, ...]) -> list[GpuDevice]:
        """Return the devices of a node whose GPUs have these UUIDs."""
        gpus = [self._gpu(index, each) for index, each in enumerate(uuids)]
        parts = [part for gpu in gpus for part in self._parts(gpu)]
        nodes = (f"nvidia-caps/nvidia-cap{number}" for number in range(1, len(parts) + 1))
        return [*gpus, *(replace(part, node=node) for part, node in zip(parts, nodes, strict=True))]

    def _gpu(self, index: int, gpu_uuid: str) -> GpuDevice:
        exclusive = self.strategy is Strategy.EXCLUSIVE
        return GpuDevice(
            node=f"nvidia{index}",
            uuid=gpu_uuid,
            index=index,
            name=PRODUCT,
            memory_mebibytes=MEMORY_MEBIBYTES,
            compute_mode="Exclusive_Process" if exclusive else "Default",
            driver_version=DRIVER_VERSION,
            cuda_version=CUDA_VERSION,
            mig_enabled=self.strategy is Strategy.MIG,
        )

    def _parts(self, gpu: GpuDevice) -> Iterator[GpuDevice]:
        taken: Counter[int] = Counter()
        for position, name in enumerate(self.instances):
            profile = mig.PROFILES[name]
            instance = MigInstance(
                profile=name,
                position=position,
                gpu_instance=profile.first_id + taken[profile.first_id],
                multiprocessors=profile.multiprocessors,
                copy_engines=profile.copy_engines,
                decoders=profile.decoders,
                parent=gpu.uuid,
            )
            taken[profile.first_id] += 1
            part_uuid = f"MIG-{uuid.uuid5(uuid.NAMESPACE_OID, f'{gpu.uuid}/{position}')}"
            memory = profile.memory_mebibytes
            yield replace(gpu, uuid=part_uuid, memory_mebibytes=memory, mig=instance)

    def plugin_config(self) -> dict[str, object]:
        """Return the device plugin's settings in the form that NVIDIA's reads."""
        sliced = [{"name": RESOURCE, "replicas": self.replicas}] if self.replicas > 1 else []
        mig_strategy = "mixed" if self.strategy is Strategy.MIG else "none"
        return {
            "version": "v1",
            "flags": {"migStrategy": mig_strategy},
            "sharing": {"timeSlicing": {"resources": sliced}},
        }
