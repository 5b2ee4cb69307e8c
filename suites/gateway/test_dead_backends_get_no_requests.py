"""The gateway stops using a dead backend within 10 s and never repeats a begun answer.

An engine that hangs answers nobody and refuses nobody: whoever is sent there waits for the client's
own patience. And a request whose answer has begun must not be sent once more, or the user gets two
beginnings and is charged for both. Two engines of ours stand behind one Service, with the readiness
probe of the target's own; one is stopped without a word, and later killed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from fixtures.known_streams import kept, written_by
from fixtures.own_backends import HEADER, PORT, StartBackends, scripted_engine
from fixtures.scratch import Scratch
from fixtures.stack import Stack
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.errors import HarnessError
from hotfire.measure.history import Request
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.traffic.workload.texts import Texts
from hotfire.waiting import of_target, pause

pytestmark = requirement(
    "GTW-010",
    Level.MUST,
    __doc__,
    source="https://www.rfc-editor.org/rfc/rfc9110.html#name-idempotent-methods",
)

PAIR, DYING, STAYING = "pair", "dying", "staying"
WITHIN_SECONDS = 10.0
BEFORE_SECONDS, AFTER_SECONDS = 3.0, 4.0
ANSWER_SECONDS = 3.0
"""A request whose answer has not begun by then waits at the dead engine; theirs begin at once."""
LEAST_ANSWERED = 5
# The engine as a child of process 1, which no signal of its own container stops.
KEEPER = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"
SIGNAL = """
import os, signal, sys
def parent(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return int(stat.read().rpartition(")")[2].split()[1])
[engine] = [pid for pid in filter(str.isdigit, os.listdir("/proc")) if parent(pid) == 1]
os.kill(int(engine), getattr(signal, sys.argv[1]))
"""
PLAN: dict[str, Any] = {
    "headers": {HEADER: PAIR},
    "rate_per_second": 10.0,
    "process": "constant",
    "max_tokens": 40,
    # Nobody gives up before it is seen what becomes of those who wait.
    "stall_seconds": 30.0,
}


@dataclass(frozen=True, slots=True)
class Death:
    """What happened around the stop of one engine of two."""

    rows: list[tuple[str, Request]]
    """Each request with its prompt, as the engines keep it."""
    stopped_ns: int
    before: dict[str, set[str]]
    """The prompts that each engine had got when one was stopped."""
    afterwards: set[str]
    """Those that the other one had got in the end."""

    @property
    def stuck(self) -> list[Request]:
        """Requests of the time after what is allowed that were not answered soon."""
        return [row for row in self.late if not _answered(row)]

    @property
    def late(self) -> list[Request]:
        due_ns = self.stopped_ns + WITHIN_SECONDS * 1e9
        return [row for _, row in self.rows if row.send_ns and row.send_ns > due_ns]

    @property
    def begun(self) -> set[str]:
        """The prompts whose answers the engine had begun and not ended when it was stopped."""
        return {
            prompt
            for prompt, row in self.rows
            if prompt in self.before[DYING]
            if row.first_ns and row.first_ns < self.stopped_ns < (row.end_ns or row.first_ns)
        }

    @property
    def repeated(self) -> set[str]:
        return self.begun & self.afterwards


def _answered(row: Request) -> bool:
    if row.headers_ns is None or row.send_ns is None:
        return False
    return row.headers_ns - row.send_ns <= ANSWER_SECONDS * 1e9


@pytest.fixture
def pair(
    scratch: Scratch, stack: Stack, own_backends: StartBackends, profile: TargetProfile
) -> None:
    """Two engines of ours behind one Service, Ready by the target's own probe."""
    pace = {"ttft_seconds": 0.02, "tpot_seconds": 0.05}
    engine = scripted_engine(PAIR, profile.engine.model, **pace)
    probe = readiness(stack, profile)
    for name in (DYING, STAYING):
        argv = ["python3", "-c", KEEPER, *engine]
        probed = {"readinessProbe": probe}
        scratch.pod(name, argv=argv, labels={"app": PAIR}, container_besides=probed)
    of_target(
        lambda: scratch.get(DYING).ready and scratch.get(STAYING).ready,
        within_seconds=profile.waits.unschedulable_seconds + 40,
        what="two engines of ours Ready",
        excused_seconds=stack.blind_seconds,
    ).required()
    own_backends({PAIR: []})


def readiness(stack: Stack, profile: TargetProfile) -> dict[str, Any]:
    """Return the probe by which the target knows that an engine serves, for engines of ours.

    Raises:
        HarnessError: it has none by HTTP.
    """
    containers = stack.replicated().pod_spec["containers"]
    engines = [one for one in containers if one["name"] == profile.engine.container]
    probe: dict[str, Any] = engines[0].get("readinessProbe", {}) if engines else {}
    if "httpGet" not in probe:
        raise HarnessError("the engines have no readiness probe by HTTP to do as they do")
    return {**probe, "httpGet": {"path": "/health", "port": PORT}}


@pytest.fixture
def death(pair: None, scratch: Scratch, load: Callable[..., RunningLoad]) -> Death:
    """Stop one of the two without a word, kill it when the time is over, all under one load."""
    running = load(name="GTW-010", **PLAN)
    pause(BEFORE_SECONDS, why="both engines are to have answered, and streams to be running")
    before = {name: set(written_by(scratch, name)) for name in (DYING, STAYING)}
    scratch.exec(DYING, ["python3", "-c", SIGNAL, "SIGSTOP"])
    stopped_ns = time.time_ns()
    pause(WITHIN_SECONDS + AFTER_SECONDS, why="who is still sent there shows in this time")
    scratch.exec(DYING, ["python3", "-c", SIGNAL, "SIGKILL"])
    running.stop()
    texts = Texts(running.plan)
    rows = [(kept(texts.prompt(row.prompt_id)), row) for row in running.rows()]
    return Death(rows, stopped_ns, before, set(written_by(scratch, STAYING)))


def test_dead_engine_gets_nothing_new_and_nothing_begun_is_repeated(
    death: Death, evidence: Evidence
) -> None:
    answered = {name: len(prompts) for name, prompts in death.before.items()}
    evidence.record("answered_before", answered)
    evidence.record("begun_at_the_stop", len(death.begun))
    evidence.record("sent_after_the_time", len(death.late))
    evidence.record("stuck_after_the_time", len(death.stuck))
    evidence.record("repeated", sorted(death.repeated))
    # Negative control: both were used while both lived, and there was something to repeat.
    if min(answered.values()) < LEAST_ANSWERED or not death.begun or not death.late:
        raise HarnessError(
            f"before the stop they had answered {answered}, {len(death.begun)} answers were under"
            f" way, and {len(death.late)} requests came after it: too few to judge"
        )

    assert not death.stuck, (
        f"{len(death.stuck)} of {len(death.late)} requests sent more than {WITHIN_SECONDS:g} s"
        " after an engine had died were not answered"
    )
    assert not death.repeated, (
        f"{len(death.repeated)} of {len(death.begun)} requests whose answers had begun were sent"
        " to another engine"
    )
