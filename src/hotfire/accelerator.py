"""How the cluster offers accelerators, as the target file declares it."""

from typing import Literal

from pydantic import BaseModel, Field

from hotfire.section import STRICT


class Accelerator(BaseModel):
    """The nodes that have some, and how pods ask for them."""

    model_config = STRICT

    resource: str = "nvidia.com/gpu"
    """Extended resource name; NVIDIA's device plugin uses this one."""
    taint_key: str = "nvidia.com/gpu"
    """Key of the taint on accelerator nodes; the GPU Operator's convention."""
    node_selector: dict[str, str] = {"nvidia.com/gpu.present": "true"}
    """Labels of accelerator nodes; GPU feature discovery sets this one."""
    probed_nodes: int = Field(default=32, gt=0)
    """Most accelerator nodes that a check probes one by one, with a pod of its own or by the agent.
    Where there are more, a sample spread over racks stands for them, and the evidence names it:
    thousands of pods would harm whom they are to protect."""
    virtual_mebibytes: dict[str, int] = {}
    """Memory of a virtual GPU, MiB, by the name of the resource that pods ask for."""
    idle_seconds_query: str | None = Field(default=None, pattern=r"\$window\b")
    """PromQL of the report on accelerators that are allocated and idle: how many seconds they were,
    all together, in the last ``$window``, which stands for a duration; None: there is none."""
    memory: Literal["device", "host-cgroup"] = "device"
    """Where an engine's accelerator memory lies; host-cgroup only where the engine runs on CPU."""
