"""What a run directory holds: run.json and the lines of results.jsonl and timeline.jsonl."""

import os
import platform
import secrets
from datetime import UTC, datetime
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from hotfire.requirement import Level, Requirement, Scope
from hotfire.verdict import Conformance, Verdict

SCHEMA_VERSION: Final = 1
RUN: Final = "RUN"
"""In the place of a requirement's id: the run itself."""
TIME_SPENT: Final = "time-spent"
"""The event that tells where the time of a case went: ``spent`` among its data."""


class _Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        ser_json_inf_nan="constants",
    )


class Machine(_Model):
    """The machine hotfire itself ran on."""

    cores: int
    memory_bytes: int
    kernel: str

    @classmethod
    def this(cls) -> Self:
        """Return the facts of this machine."""
        memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        cores = len(os.sched_getaffinity(0))
        return cls(cores=cores, memory_bytes=memory_bytes, kernel=platform.release())


class NodeFacts(_Model):
    """One node of the cluster as seen at the start of the run."""

    name: str
    kubelet_version: str = ""
    kernel: str = ""
    rack: str = ""
    accelerators: int = 0


class ClusterFacts(_Model):
    """The cluster the target lives in."""

    version: str
    nodes: tuple[NodeFacts, ...] = ()
    engine: str = ""
    """How many engine pods of which image."""
    gateway: str = ""
    """The GatewayClass and who implements it."""


class RunInfo(_Model):
    """run.json: what was run, on what, with what outcome."""

    schema_version: Literal[1] = SCHEMA_VERSION
    run_id: str
    started_at: datetime
    """UTC."""
    finished_at: datetime | None = None
    """UTC; None while the run is going on, or when it was killed."""
    tool_version: str
    command: tuple[str, ...]
    machine: Machine
    target_name: str
    cluster: ClusterFacts | None = None
    conformance: Conformance | None = None
    scope: Scope = Scope.FULL
    """How much of the catalogue was taken; only a full run says conformant without a qualifier."""
    requirements_known: int = 0
    """How many requirements and faults the catalogue held; 0: nobody counted."""
    faults_known: int | None = None
    """How many of these are faults; None: nobody told them apart."""
    notes: tuple[str, ...] = ()

    @classmethod
    def begin(cls, *, command: tuple[str, ...], target_name: str, tool_version: str) -> Self:
        """Return the information at the start of a run, named after the present second.

        Others may begin in that very second, on other machines too: the name has a random end.
        """
        now = datetime.now(UTC)
        return cls(
            run_id=f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
            started_at=now,
            tool_version=tool_version,
            command=command,
            machine=Machine.this(),
            target_name=target_name,
        )


class BudgetRow(_Model):
    """One budget against what was measured."""

    name: str
    """With its unit, as in the target file."""
    limit: float
    measured: float | None = None
    """None: nothing was measured; infinite: more requests failed than the percentile leaves out."""
    verdict: Verdict
    reason: str = ""


class Result(_Model):
    """One line of results.jsonl: what one case says about its requirement."""

    schema_version: Literal[1] = SCHEMA_VERSION
    id: str = Field(pattern=r"^[A-Za-z0-9][\w.-]*$")
    """Files are named after it."""
    level: Level
    statement: str
    rationale: str
    source: str
    features: frozenset[str] = frozenset()
    cncf: str | None = None
    kind: Literal["check", "fault", "run"]
    """``run``: the run itself was in trouble, for which no requirement is to blame."""
    area: str
    """Folder below suites/ or experiments/; ``run`` of the run itself."""
    case: str
    """Name of the test, with its parameters."""
    nodeid: str
    """pytest's name of it: the file to open."""
    verdict: Verdict
    reason: str
    """One line: why this verdict."""
    seconds: float = 0.0
    """Time in setup, test and teardown together."""
    evidence: tuple[str, ...] = ()
    """Paths relative to the run directory."""
    figures: dict[str, bool | int | float | str | None] = {}
    """Scalar observations by name, units in the names."""
    budgets: tuple[BudgetRow, ...] = ()
    """Every budget of this case, as it was judged last."""
    skipped_by_operator: bool = False

    @classmethod
    def of_run(cls, what: str, reason: str) -> Self:
        """Return the line about trouble of the run itself, one for each ``what``.

        It decides like a requirement that could not be judged: who was in trouble until the end
        may have left something, or not have seen it.
        """
        return cls(
            id=RUN,
            level=Level.MUST,
            statement="The run itself is set up, carried out and taken down without trouble.",
            rationale="What it left behind or did not see is nobody else's to answer for.",
            source="",
            kind="run",
            area="run",
            case=what,
            nodeid=f"run::{what}",
            verdict=Verdict.INCONCLUSIVE,
            reason=reason,
        )

    @property
    def record(self) -> str:
        """The name under which its loads and events are recorded: a further round has its own."""
        return str(self.figures.get("record") or self.id)

    @property
    def requirement(self) -> Requirement:
        """The requirement this result is about."""
        names = ("id", "level", "statement", "rationale", "source", "features", "cncf")
        return Requirement(**{name: getattr(self, name) for name in names})


class Event(_Model):
    """One line of timeline.jsonl: something that happened, on the epoch of the history."""

    schema_version: Literal[1] = SCHEMA_VERSION
    at_ns: int = Field(ge=0, lt=1 << 63)
    """Nanoseconds since the epoch."""
    kind: Literal["load", "fault", "phase", "watch", "agent", "platform"]
    what: str
    """Short, e.g. armed, injected, took-effect, healed, verified-healed, baseline-start."""
    source: str
    """Who saw it."""
    experiment: str | None = None
    """Id of the fault it belongs to."""
    data: dict[str, object] = {}
