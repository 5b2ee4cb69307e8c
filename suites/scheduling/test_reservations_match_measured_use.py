"""CPU, memory and NUMA reservations match measured use.

An engine that uses more memory than it asked for is the first to be evicted when its node runs
short, under load, when it is needed most. One that asked for no processor shares it with whoever
comes along.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from fixtures.stack import Stack
from fixtures.survey import Survey
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.chaos.agent_answers import ContainerUse
from hotfire.chaos.agent_client import AgentClient
from hotfire.cluster import Cluster, Document, Pod, quantity
from hotfire.errors import HarnessError
from hotfire.measure.percentiles import percentile
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.waiting import until

pytestmark = requirement(
    "SCH-013",
    Level.SHOULD,
    __doc__,
    source="https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/",
)

NEEDED = {"requests": ("cpu", "memory"), "limits": ("memory",)}
HUGE_PAGES = "hugepages-"
SAMPLES = 12
GUARANTEED = "Guaranteed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What one engine container asked for, and the 99th percentile of what it used."""

    cpu_requested: Decimal
    cpu_p99_cores: float
    memory_requested_bytes: Decimal
    memory_p99_bytes: float

    def beyond(self, *, on_processor: bool) -> list[str]:
        """Return what it used more of than it asked for.

        Where the engine computes on the processor, that is its accelerator and nobody's request.
        """
        found = []
        if self.memory_p99_bytes > self.memory_requested_bytes:
            asked = f"{self.memory_requested_bytes:f} asked for"
            found.append(f"{self.memory_p99_bytes:.0f} bytes of memory, {asked}")
        if not on_processor and self.cpu_p99_cores > self.cpu_requested:
            found.append(f"{self.cpu_p99_cores:.2f} cores, {self.cpu_requested:f} asked for")
        return found


def engine_documents(stack: Stack) -> list[Document]:
    """Return the engine pods as the API gives them.

    Raises:
        HarnessError: there is none.
    """
    if not (there := list(stack.engine_documents())):
        raise HarnessError(f"no engine runs in {stack.namespace}")
    return there


def undeclared(pod: Document) -> Iterator[str]:
    """Yield what each container of a pod leaves open."""
    for container in pod["spec"]["containers"]:
        resources = container.get("resources") or {}
        for kind, names in NEEDED.items():
            for name in names:
                if name not in (resources.get(kind) or {}):
                    yield f"{pod['metadata']['name']}/{container['name']} has no {kind}.{name}"


def pinned(pod: Document) -> bool:
    """Return whether a pod declares processors of its own, or huge pages."""
    amounts = [each["resources"].get("requests") or {} for each in pod["spec"]["containers"]]
    whole = all(quantity(each.get("cpu", "0.5")) % 1 == 0 for each in amounts)
    huge = any(name.startswith(HUGE_PAGES) for each in amounts for name in each)
    return huge or (whole and pod["status"].get("qosClass") == GUARANTEED)


def test_every_engine_container_declares_what_it_needs(
    stack: Stack, survey: Survey, evidence: Evidence
) -> None:
    engines = [one.document for one in survey.engines()]
    if not engines:
        raise HarnessError(f"no engine runs in {stack.namespace}")
    open_ends = [word for pod in engines for word in undeclared(pod)]
    evidence.record("engines", [pod["metadata"]["name"] for pod in engines])
    evidence.record("undeclared", open_ends)

    assert not open_ends, "; ".join(open_ends[:5])
    if on_own := [pod["metadata"]["name"] for pod in engines if pinned(pod)]:
        raise HarnessError(
            f"{on_own[0]} is pinned; whether that is next to its GPU is not read yet"
        )


def cores(samples: Sequence[ContainerUse]) -> list[float]:
    """Return the processors used between one sample and the next."""
    return [
        (after.processor_ns - before.processor_ns) / (after.at_ns - before.at_ns)
        for before, after in pairwise(samples)
    ]


def use(pod: Document, container: str, samples: Sequence[ContainerUse]) -> Use:
    [spec] = [each for each in pod["spec"]["containers"] if each["name"] == container]
    requests: Mapping[str, str] = spec["resources"].get("requests") or {}
    return Use(
        cpu_requested=quantity(requests.get("cpu", "0")),
        cpu_p99_cores=percentile(cores(samples), 99),
        memory_requested_bytes=quantity(requests.get("memory", "0")),
        memory_p99_bytes=percentile([one.working_set_bytes for one in samples], 99),
    )


def test_use_under_rated_load_stays_within_the_requests(
    profile: TargetProfile,
    cluster: Cluster,
    stack: Stack,
    agent: AgentClient,
    load: Callable[..., RunningLoad],
    evidence: Evidence,
) -> None:
    name = profile.engine.container
    pods = [pod for pod in stack.engines() if pod.ready]
    running = load(name="SCH-013")
    samples: dict[str, list[ContainerUse]] = {pod.name: [] for pod in pods}

    def sampled() -> bool:
        for pod in pods:
            samples[pod.name].append(now(agent, pod, name))
        return len(samples[pods[0].name]) >= SAMPLES

    until(sampled, within_seconds=60, what=f"{SAMPLES} samples of each engine", poll_seconds=0.5)
    running.stop()
    answered = sum(not row.failed for row in running.rows())
    documents = {pod["metadata"]["name"]: pod for pod in engine_documents(stack)}
    found = {each: use(documents[each], name, those) for each, those in samples.items()}
    evidence.record("requests_answered_meanwhile", answered)
    evidence.record(
        "use",
        {
            each: {"memory_p99_bytes": one.memory_p99_bytes, "cpu_p99_cores": one.cpu_p99_cores}
            for each, one in found.items()
        },
    )

    # An engine that nobody asked shows nothing of its needs.
    if not answered:
        raise HarnessError("no request was answered while the engines were measured")
    on_processor = profile.accelerator.memory == "host-cgroup"
    for each, one in found.items():
        beyond = one.beyond(on_processor=on_processor)
        assert not beyond, f"{each} used {'; '.join(beyond)}"
    check_control(found)


def now(agent: AgentClient, pod: Pod, container: str) -> ContainerUse:
    status = pod.container(container)
    if status is None:
        raise HarnessError(f"{pod.name} has no container {container}; set engine.container")
    return agent.container_use(pod.node, pod_uid=pod.uid, container_id=status.container_id)


def check_control(found: Mapping[str, Use]) -> None:
    """Negative control: a quarter of what was used, asked for, must be too little."""
    for each, one in found.items():
        quarter = Use(
            cpu_requested=Decimal(one.cpu_p99_cores / 4),
            cpu_p99_cores=one.cpu_p99_cores,
            memory_requested_bytes=Decimal(one.memory_p99_bytes / 4),
            memory_p99_bytes=one.memory_p99_bytes,
        )
        if len(quarter.beyond(on_processor=False)) < 2:
            raise HarnessError(f"{each} seems to use nothing at all: {one}")
