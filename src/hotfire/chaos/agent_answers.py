"""What the node agents answer, and in which shape."""

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from hotfire.errors import HarnessError

T = TypeVar("T")


class Answer(BaseModel):
    """What an agent says; fields this version does not know are left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class BfdSession(Answer):
    """One BFD session of a node."""

    neighbour: str
    interface: str
    state: str
    since: str
    """When it came into this state, in the words of the node's own clock."""
    timeout_seconds: float
    """Time in which the node finds the path dead."""


class LinkState(Answer):
    """A link as its node sees it."""

    link: str
    carrier: bool
    received_packets: int
    sent_packets: int
    carrier_changes: int
    """How often the carrier came or went since the link is there."""
    drops: dict[str, int]
    """Packets our rules dropped, by direction; empty while none are installed."""
    bfd: tuple[BfdSession, ...] | None
    """None: the node runs no BIRD that answers."""


class Observed(Answer):
    """What a fault on a node told about itself; None where it has not (yet) said so."""

    oom: bool | None = None
    """Whether the kernel killed a process of the filled cgroup."""
    oom_kills_before: int | None = None
    oom_kills: int | None = None
    filled_bytes: int | None = None
    free_bytes: int | None = None
    """Free memory of the filled GPU."""
    total_bytes: int | None = None
    exit_code: int | None = None
    spoiled: bool | None = None
    """Whether a file was seen to hold what we wrote into it."""
    repaired: bool | None = None
    """Whether somebody else has replaced or repaired that file while the fault lasted."""
    healed_at_seconds: float | None = None
    """Epoch, by the node's own clock."""
    said: str = ""
    healed_because: str = ""


class AgentEntry(Answer):
    """An undo entry on a node."""

    id: str
    op: str
    state: str
    observed: Observed = Observed()


class DeviceGrant(Answer):
    """Devices the kubelet gave to one container."""

    namespace: str
    pod: str
    container: str
    resource: str
    device_ids: tuple[str, ...]


class ContainerUse(Answer):
    """What a container uses at one moment of its node's clock."""

    working_set_bytes: int
    processor_ns: int
    """Processor time since it started."""
    at_ns: int


class ProcessState(Answer):
    """A process that a fault was aimed at."""

    pid: int
    state: str
    """The kernel's letter (T: it stands still); empty: it is gone."""


class EngineAnswer(Answer):
    """What an engine said to one request for one token."""

    status: int | None
    """Of HTTP; None: no answer in time."""
    wrote: bool
    """Whether a token came."""
    said: str = ""


class QueueAnswer(Answer):
    """What a queue said to a PING."""

    answered: bool
    said: str


class CpuState(Answer):
    """What a container may use of its node's CPUs."""

    limit: str
    """Quota and period in microseconds, as the kernel writes them."""
    periods: int
    throttled_periods: int
    """In which it had used up its quota and had to wait."""


class Gpu(Answer):
    """One GPU of a node, as `nvidia-smi` tells."""

    index: str
    uuid: str


def read(shape: type[T], answer: object) -> T:
    """Return an agent's answer in the shape that it should have.

    Raises:
        HarnessError: it has another one.
    """
    try:
        return TypeAdapter(shape).validate_python(answer)
    except ValidationError as error:
        raise HarnessError(f"the agent's answer is not a {shape}: {error}") from error
