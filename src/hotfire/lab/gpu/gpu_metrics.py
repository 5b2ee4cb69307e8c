"""The DCGM exporter's metrics in Prometheus' text format.

https://github.com/NVIDIA/dcgm-exporter/blob/main/etc/default-counters.csv
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from hotfire.lab.gpu.gpu_device import GpuDevice
from hotfire.lab.gpu.gpu_load import Holder, Load

_MEMORY_MEGAHERTZ = 2619
# NVIDIA's Xid 64: a row of the GPU's memory could not be remapped.
_REMAP_FAILED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSample:
    """One device at one moment; ``gpu`` is the load of the whole GPU that a MIG instance is of."""

    device: GpuDevice
    load: Load
    gpu: Load
    xid: int = 0
    energy_millijoules: int = 0
    held_by: tuple[Holder, ...] = ()

    @property
    def utilization_percent(self) -> int | None:
        """None for a MIG instance: the driver tells it of whole GPUs only."""
        return None if self.device.mig else self.load.utilization_percent

    @property
    def memory_copy_percent(self) -> int | None:
        return None if self.device.mig else self.load.memory_copy_percent

    @property
    def memory_free_mebibytes(self) -> int:
        return self.device.memory_mebibytes - self.load.memory_used_mebibytes


Value = Callable[[GpuSample], float | None]
# name: type, help, value; None is no series.
METRICS: dict[str, tuple[str, str, Value]] = {
    "DCGM_FI_DEV_SM_CLOCK": (
        "gauge",
        "SM clock frequency (in MHz).",
        lambda sample: sample.gpu.sm_clock_megahertz,
    ),
    "DCGM_FI_DEV_MEM_CLOCK": (
        "gauge",
        "Memory clock frequency (in MHz).",
        lambda _: _MEMORY_MEGAHERTZ,
    ),
    "DCGM_FI_DEV_GPU_TEMP": (
        "gauge",
        "GPU temperature (in C).",
        lambda sample: sample.gpu.temperature_celsius,
    ),
    "DCGM_FI_DEV_POWER_USAGE": (
        "gauge",
        "Power draw (in W).",
        lambda sample: sample.gpu.power_watts,
    ),
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": (
        "counter",
        "Total energy consumption since boot (in mJ).",
        lambda sample: sample.energy_millijoules,
    ),
    "DCGM_FI_DEV_GPU_UTIL": (
        "gauge",
        "GPU utilization (in %).",
        lambda sample: sample.utilization_percent,
    ),
    "DCGM_FI_DEV_MEM_COPY_UTIL": (
        "gauge",
        "Memory utilization (in %).",
        lambda sample: sample.memory_copy_percent,
    ),
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE": (
        "gauge",
        "Ratio of time the graphics engine is active.",
        lambda sample: sample.load.utilization_percent / 100,
    ),
    "DCGM_FI_DEV_XID_ERRORS": (
        "gauge",
        "Value of the last XID error encountered.",
        lambda sample: sample.xid,
    ),
    "DCGM_FI_DEV_FB_FREE": (
        "gauge",
        "Framebuffer memory free (in MiB).",
        lambda sample: sample.memory_free_mebibytes,
    ),
    "DCGM_FI_DEV_FB_USED": (
        "gauge",
        "Framebuffer memory used (in MiB).",
        lambda sample: sample.load.memory_used_mebibytes,
    ),
    "DCGM_FI_DEV_FB_TOTAL": (
        "gauge",
        "Framebuffer memory total (in MiB).",
        lambda sample: sample.device.memory_mebibytes,
    ),
    "DCGM_FI_DEV_ROW_REMAP_FAILURE": (
        "gauge",
        "Whether remapping of rows has failed",
        lambda sample: int(sample.xid == _REMAP_FAILED),
    ),
}


def render(samples: Iterable[GpuSample], node: str) -> str:
    """Return all metrics of a node; GPUs in MIG mode show as their instances."""
    shown = [sample for sample in samples if sample.device.mig or not sample.device.mig_enabled]
    return "".join(
        f"# HELP {name} {meaning}\n# TYPE {name} {kind}\n"
        + "".join(_series(name, value, shown, node))
        for name, (kind, meaning, value) in METRICS.items()
    )


def _series(name: str, value: Value, samples: Iterable[GpuSample], node: str) -> Iterator[str]:
    """Yield a line for each device, or for each container that shares it."""
    for sample in samples:
        number = value(sample)
        if number is None:
            continue
        for holder in sample.held_by or (None,):
            labels = _labels(sample.device, holder, node)
            text = ",".join(f'{key}="{text}"' for key, text in labels.items())
            yield f"{name}{{{text}}} {number}\n"


def _labels(device: GpuDevice, holder: Holder | None, node: str) -> dict[str, str]:
    labels = {
        "gpu": str(device.index),
        "UUID": device.gpu,
        "pci_bus_id": device.pci_bus_id,
        "device": f"nvidia{device.index}",
        "modelName": device.name,
    }
    if device.mig:
        labels |= {"GPU_I_PROFILE": device.mig.profile, "GPU_I_ID": str(device.mig.gpu_instance)}
    labels |= {"Hostname": node, "DCGM_FI_DRIVER_VERSION": device.driver_version}
    if holder:
        labels |= {"container": holder.container, "namespace": holder.namespace, "pod": holder.pod}
    if holder and holder.replica:
        labels["vgpu"] = holder.replica
    return labels
