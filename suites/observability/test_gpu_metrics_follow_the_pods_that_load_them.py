"""Each GPU exports utilisation and memory, attributed to its pod, and they move under load.

Autoscaling, alerts and the bill rest on these series. An exporter whose figures stand still, or
that names another pod, is worse than none: whoever reads it believes it.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field

from fixtures.gpu_exporters import MEMORY_USED, UTILISATION, GpuExporters
from fixtures.gpu_load import NAME as LOAD
from fixtures.gpu_load import GpuLoad
from fixtures.probed_nodes import probed_nodes
from fixtures.scratch import Scratch
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.chaos.agent_client import AgentClient
from hotfire.cluster import Cluster
from hotfire.errors import HarnessError
from hotfire.metrics import Metrics, Sample
from hotfire.waiting import of_target

pytestmark = requirement(
    "OBS-001",
    Level.MUST,
    __doc__,
    source="https://github.com/cncf/k8s-ai-conformance/blob/main/docs/AIConformance-1.37.yaml",
    cncf="observability.accelerator_metrics",
)

# What is told besides, where the hardware has it; an absent one is not observable, never zero.
BESIDES = {
    "temperature": "DCGM_FI_DEV_GPU_TEMP",
    "power": "DCGM_FI_DEV_POWER_USAGE",
    "errors": "DCGM_FI_DEV_XID_ERRORS",
    "uncorrectable_ecc_errors": "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL",
}
RATIO = "DCGM_FI_PROF_GR_ENGINE_ACTIVE"
UUID = re.compile(r"UUID: (GPU-[^)\s]+)")
# NVIDIA's exporter measures every 30 s unless told otherwise: three of its rounds. Where the energy
# that a GPU took is told, it shows when a round is over.
EXPORTED_SECONDS, ROUNDS = 90.0, 6
ENERGY = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
IDLE_PERCENT, RISE_PERCENT, RISE_MEBIBYTES = 15.0, 30.0, 16.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was told at one moment of the loaded pod's GPU and of GPUs that nobody has."""

    utilisation_percent: float | None
    memory_mebibytes: float | None
    energy: float | None = None
    uuids: tuple[str, ...] = ()
    """The GPUs that are told of as the pod's."""
    others_percent: Mapping[str, float] = field(default_factory=dict)
    """Utilisation of GPUs that are told of as nobody's, by UUID."""


def pod_of(sample: Sample) -> tuple[str, str]:
    """Return whose a series says its device is; older exporters have other names for it."""
    labels = sample.labels
    namespace = labels.get("namespace") or labels.get("pod_namespace") or ""
    return namespace, labels.get("pod") or labels.get("pod_name") or ""


def percent(sample: Sample) -> float:
    return sample.value * 100 if sample.name == RATIO else sample.value


def utilisation(metrics: Metrics) -> list[Sample]:
    """Return the series of one utilisation metric, the plain one where there are both."""
    found = (metrics.series(name) for name in UTILISATION)
    return next((series for series in found if series), [])


def most_of(pages: Iterable[Metrics], name: str, pod: tuple[str, str]) -> float | None:
    series = (sample for page in pages for sample in page.series(name))
    return max((sample.value for sample in series if pod_of(sample) == pod), default=None)


def reading(pages: Collection[Metrics], pod: tuple[str, str]) -> Reading:
    used = [sample for page in pages for sample in utilisation(page)]
    mine = [sample for sample in used if pod_of(sample) == pod]
    return Reading(
        utilisation_percent=max((percent(sample) for sample in mine), default=None),
        memory_mebibytes=most_of(pages, MEMORY_USED, pod),
        energy=most_of(pages, ENERGY, pod),
        uuids=tuple(sorted({sample.labels.get("UUID", "") for sample in mine})),
        others_percent={
            sample.labels.get("UUID", ""): percent(sample)
            for sample in used
            if not pod_of(sample)[1]
        },
    )


def test_each_gpu_exports_utilisation_and_memory(
    profile: TargetProfile,
    cluster: Cluster,
    agent: AgentClient,
    gpu_exporters: GpuExporters,
    evidence: Evidence,
) -> None:
    nodes = probed_nodes(cluster, profile, evidence)
    fitted = {node.name: {gpu.uuid for gpu in agent.gpus(node.name)} for node in nodes}
    pages = gpu_exporters.read()
    told = {
        name: {
            "utilisation": {sample.labels.get("UUID") for sample in utilisation(page)},
            "memory": {sample.labels.get("UUID") for sample in page.series(MEMORY_USED)},
        }
        for name, page in pages.items()
    }
    besides = {
        fact: "told" if any(page.series(name) for page in pages.values()) else "not observable"
        for fact, name in BESIDES.items()
    }
    evidence.record("fitted", {name: sorted(uuids) for name, uuids in fitted.items()})
    evidence.record("told_besides", besides)

    assert any(fitted.values()), f"no GPU on nodes {profile.accelerator.node_selector}"
    for name, uuids in fitted.items():
        assert name in told, f"no exporter tells of the GPUs of {name}"
        for fact, those in told[name].items():
            assert uuids <= those, f"{name}: nothing tells the {fact} of {sorted(uuids - those)}"


def idle(seen: Reading) -> bool:
    return seen.utilisation_percent is not None and seen.utilisation_percent <= IDLE_PERCENT


def risen(seen: Reading, before: Reading) -> bool:
    """Return whether both figures are clearly above what they were."""
    pairs = (
        (seen.utilisation_percent, before.utilisation_percent, RISE_PERCENT),
        (seen.memory_mebibytes, before.memory_mebibytes, RISE_MEBIBYTES),
    )
    return all(now is not None and then is not None and now >= then + by for now, then, by in pairs)


class Watched:
    """A pod's GPU as the exporters tell of it, again and again."""

    def __init__(self, exporters: GpuExporters, cluster: Cluster, pod: tuple[str, str]) -> None:
        self.readings: list[Reading] = []
        self._exporters = exporters
        self._cluster = cluster
        self._pod = pod

    def awaited(self, what: Callable[[Reading], bool]) -> Reading:
        """Return the first reading that is so, or the last when there was time enough for it."""
        start = len(self.readings)

        def settled() -> bool:
            self.readings.append(reading(self._exporters.read().values(), self._pod))
            told = {one.energy for one in self.readings[start:]} - {None}
            return what(self.readings[-1]) or len(told) > ROUNDS

        of_target(
            settled,
            within_seconds=EXPORTED_SECONDS,
            what="the exporters' word",
            excused_seconds=self._cluster.silent_seconds,
        )
        return self.readings[-1]


def test_figures_follow_the_pod_that_loads_its_gpu(
    cluster: Cluster,
    profile: TargetProfile,
    gpu_load: GpuLoad,
    scratch: Scratch,
    gpu_exporters: GpuExporters,
    evidence: Evidence,
) -> None:
    node = gpu_load.start(probed_nodes(cluster, profile, evidence))
    own = UUID.findall(scratch.exec(LOAD, ["nvidia-smi", "-L"]))
    watched = Watched(gpu_exporters, cluster, (scratch.namespace, LOAD))
    before = watched.awaited(idle)
    gpu_load.work()
    under = watched.awaited(lambda now: risen(now, before))
    gpu_load.rest()
    after = watched.awaited(idle)
    spread = of_unused(watched.readings)
    for name, one in (("idle", before), ("loaded", under), ("idle_again", after)):
        evidence.record(name, asdict(one))
    evidence.record("unused_devices_percent", spread)

    assert before.uuids, f"no series of {node.name} is attributed to the pod that holds its GPU"
    assert before.uuids == tuple(own), f"the pod holds {own}, it is told to have {before.uuids}"
    assert idle(before), f"idle, and {before.utilisation_percent} % are told"
    assert risen(under, before), f"under load {figures(under)} is told, before {figures(before)}"
    assert idle(after), f"idle again, and {after.utilisation_percent} % are told"
    # Negative control: what moves with every device moves by itself.
    if not spread:
        raise HarnessError("every GPU is held by somebody, so none shows what an unused one tells")
    for uuid, (least, most) in spread.items():
        assert most - least < RISE_PERCENT, f"{uuid} is unused, and its figures move by themselves"


def of_unused(readings: Iterable[Reading]) -> dict[str, tuple[float, float]]:
    """Return least and most of what was told of each GPU that was nobody's all along."""
    rows = list(readings)
    always = set.intersection(*(set(row.others_percent) for row in rows))
    values = {uuid: [row.others_percent[uuid] for row in rows] for uuid in always}
    return {uuid: (min(those), max(those)) for uuid, those in values.items()}


def figures(seen: Reading) -> str:
    return f"{seen.utilisation_percent} % and {seen.memory_mebibytes} MiB"
