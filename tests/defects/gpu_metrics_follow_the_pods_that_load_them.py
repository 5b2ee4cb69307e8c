"""The exporter's figures stand still: right pod, right GPU, a plausible value whatever it does."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World

NAMESPACE, NAME = "kube-system", "nvidia-dcgm-exporter"
EXPORTER = """
from hotfire.lab.gpu import dcgm_exporter, gpu_metrics
STILL = {
    "DCGM_FI_DEV_GPU_UTIL": 9, "DCGM_FI_PROF_GR_ENGINE_ACTIVE": 0.09, "DCGM_FI_DEV_FB_USED": 40
}
for name, value in STILL.items():
    kind, meaning, _ = gpu_metrics.METRICS[name]
    told = lambda sample, value=value: value if sample.held_by else 0
    gpu_metrics.METRICS[name] = kind, meaning, told
dcgm_exporter.main()
"""


@contextmanager
def broken(world: World) -> Iterator[None]:
    with world.daemon_set_runs(NAMESPACE, NAME, ["python3", "-c", EXPORTER]):
        yield
