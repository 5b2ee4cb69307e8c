"""The labels of a node with GPUs, as GPU feature discovery and the GPU Operator set them."""

from collections import Counter

from hotfire.lab.gpu.gpus import (
    CUDA_VERSION,
    DRIVER_VERSION,
    MEMORY_MEBIBYTES,
    MIG_RESOURCE_PREFIX,
    PRODUCT,
    RESOURCE,
    GpuSharing,
    Strategy,
)
from hotfire.lab.gpu.mig import COMPUTE_SLICES, PROFILES

COMPUTE_CAPABILITY = "9.0"
# What feature discovery calls an architecture of that compute capability.
_FAMILY = "hopper"
_DEPLOYED = ("container-toolkit", "dcgm-exporter", "device-plugin", "driver")


def labels(sharing: GpuSharing, gpus: int) -> dict[str, str]:
    """Return the labels of a node with so many GPUs; none without a GPU."""
    if not gpus:
        return {}
    found = _node_labels() | _gpu_labels(gpus)
    if sharing.strategy is Strategy.TIME_SLICING:
        found |= {
            f"{RESOURCE}.product": f"{PRODUCT}-SHARED",
            f"{RESOURCE}.replicas": str(sharing.replicas),
            f"{RESOURCE}.sharing-strategy": Strategy.TIME_SLICING.value,
        }
    if sharing.strategy is Strategy.EXCLUSIVE:
        # Feature discovery has no label for the compute mode.
        found["hotfire.lab/gpu.compute-mode"] = "Exclusive_Process"
    if sharing.strategy is Strategy.DRA:
        found |= {f"{RESOURCE}.deploy.device-plugin": "false"}
        found |= {"nvidia.com/dra-kubelet-plugin": "true"}
    if sharing.strategy is Strategy.MIG:
        found |= {f"{RESOURCE}.replicas": "0", "nvidia.com/mig.strategy": "mixed"}
        for profile, count in Counter(sharing.instances).items():
            found |= _mig_labels(profile, count * gpus)
    return found


def _node_labels() -> dict[str, str]:
    driver, cuda = DRIVER_VERSION.split("."), CUDA_VERSION.split(".")
    deployed = {f"{RESOURCE}.deploy.{name}": "true" for name in _DEPLOYED}
    return deployed | {
        "nvidia.com/cuda.driver.major": driver[0],
        "nvidia.com/cuda.driver.minor": driver[1],
        "nvidia.com/cuda.driver.rev": driver[2],
        "nvidia.com/cuda.driver-version.full": DRIVER_VERSION,
        "nvidia.com/cuda.driver-version.major": driver[0],
        "nvidia.com/cuda.driver-version.minor": driver[1],
        "nvidia.com/cuda.driver-version.revision": driver[2],
        "nvidia.com/cuda.runtime.major": cuda[0],
        "nvidia.com/cuda.runtime.minor": cuda[1],
        "nvidia.com/cuda.runtime-version.full": CUDA_VERSION,
        "nvidia.com/cuda.runtime-version.major": cuda[0],
        "nvidia.com/cuda.runtime-version.minor": cuda[1],
        "nvidia.com/gpu.present": "true",
        "nvidia.com/mig.capable": "true",
    }


def _gpu_labels(gpus: int) -> dict[str, str]:
    major, minor = COMPUTE_CAPABILITY.split(".")
    return {
        f"{RESOURCE}.compute.major": major,
        f"{RESOURCE}.compute.minor": minor,
        f"{RESOURCE}.count": str(gpus),
        f"{RESOURCE}.family": _FAMILY,
        f"{RESOURCE}.machine": "hotfire-lab",
        f"{RESOURCE}.memory": str(MEMORY_MEBIBYTES),
        f"{RESOURCE}.mode": "compute",
        f"{RESOURCE}.product": PRODUCT,
        f"{RESOURCE}.replicas": "1",
        f"{RESOURCE}.sharing-strategy": "none",
    }


def _mig_labels(name: str, count: int) -> dict[str, str]:
    profile = PROFILES[name]
    facts = {
        "count": count,
        "engines.copy": profile.copy_engines,
        "engines.decoder": profile.decoders,
        "engines.encoder": 0,
        "engines.jpeg": profile.decoders,
        "engines.ofa": int(profile.slices == COMPUTE_SLICES),
        "memory": profile.memory_mebibytes,
        "multiprocessors": profile.multiprocessors,
        "product": f"{PRODUCT}-MIG-{name}",
        "replicas": 1,
        "sharing-strategy": "none",
        "slices.ci": profile.slices,
        "slices.gi": profile.slices,
    }
    return {f"{MIG_RESOURCE_PREFIX}{name}.{key}": str(value) for key, value in facts.items()}
