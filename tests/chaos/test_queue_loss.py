"""The queue of jobs stands still and dies: what it took is done all the same, others are told."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import JsonValue

from hotfire import Reply
from hotfire.batches import Submitted
from hotfire.chaos import jobs_sent
from hotfire.chaos.agent_pods import code_digest
from hotfire.chaos.jobs_sent import Sent
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import Scene
from hotfire.chaos.sightings.jobs_kept import JobsKept, refused_told
from hotfire.chaos.sightings.queue_silent import QueueSilent
from hotfire.chaos.steps.jobs_beside import JobsBeside
from hotfire.chaos.steps.process_signal import ProcessSignal
from hotfire.chaos.targets.jobs_part import JobsPart
from hotfire.errors import FaultNotInjected, HarnessError
from hotfire.gateway import Gateway
from hotfire.jobs import Jobs
from hotfire.waiting import until
from tests.chaos.fake_agent import Answers, FakeAgent
from tests.chaos.platform import NAMESPACE, Platform
from tests.chaos.scenes import entry, scene
from tests.fake_api import FakeApi
from tests.jobs_machine import JOBS, NEEDS_REDIS, Application, application

LABELS = {"app": "queue"}
WORD, KEPT = JobsPart(part="queue"), JobsKept(refused_within_seconds=10)
PONG = {"answered": True, "said": "+PONG"}
SILENT = {"answered": False, "said": "TimeoutError: timed out"}
STOP = ProcessSignal(signal="STOP", killed_at_end=True)
BESIDE = JobsBeside(jobs=len(JOBS), max_tokens=8, every_seconds=0.1)


class Agent(FakeAgent):
    """Answers the life of an entry, too."""

    def _call(
        self, node: str, op: str, args: Mapping[str, object], *, repeatable: bool = False
    ) -> object:
        del repeatable
        return self.call(node, op, **args)


def told(world: World, answers: Answers) -> World:
    return replace(world, agent=Agent(world, answers))


@pytest.fixture
def with_queue(world: World, api: FakeApi, platform: Platform) -> World:
    """Declare a queue that has one pod, and answers."""
    del platform
    container = {"name": "redis", "containerID": "containerd://q", "restartCount": 0}
    api.put(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "queue-0", "namespace": NAMESPACE, "labels": LABELS},
            "spec": {"nodeName": "n1", "containers": [{"name": "redis"}]},
            "status": {
                "phase": "Running",
                "podIP": "10.0.0.9",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{**container, "ready": True, "state": {"running": {}}}],
            },
        }
    )
    jobs = Jobs(parts={"queue": LABELS}, redelivery_seconds=1)
    return told(
        replace(world, profile=world.profile.model_copy(update={"jobs": jobs})),
        {"redis.ping": PONG},
    )


@pytest.fixture
def plan(with_queue: World) -> Plan:
    return WORD.resolve(with_queue, "FLT-DEP-001")


def test_its_pods_are_the_targets_and_every_engine_is_spared(with_queue: World, plan: Plan) -> None:
    assert [(one.kind, one.name) for one in plan.targets] == [("pod", "queue-0")]
    assert [one.name for one in plan.bystanders] == ["engine-1", "engine-2"]
    WORD.look_again(with_queue, plan)
    assert WORD.spared(with_queue, plan).startswith("every engine")


def test_a_part_that_is_not_told_is_no_target(with_queue: World) -> None:
    with pytest.raises(HarnessError, match=r"set jobs\.parts\.worker"):
        JobsPart(part="worker").resolve(with_queue, "FLT-DEP-001")


@pytest.mark.parametrize(("answer", "seen"), [(PONG, "no"), (SILENT, "yes")])
def test_it_is_silent_where_it_does_not_answer_ping(
    with_queue: World, plan: Plan, answer: Mapping[str, object], seen: str
) -> None:
    word = QueueSilent()
    assert word.note(with_queue, plan)

    assert word.look(scene(told(with_queue, {"redis.ping": answer}), plan)).seen == seen


def test_the_silence_of_what_never_answered_proves_nothing(with_queue: World, plan: Plan) -> None:
    with pytest.raises(HarnessError, match="did not answer PING before"):
        QueueSilent().note(told(with_queue, {"redis.ping": SILENT}), plan)


def ending(state: str) -> Answers:
    """Return what an agent says of a signal that is undone."""
    listed = iter([[{"id": "u-1", "op": "process.signal", "state": "injected"}]])
    return {
        "ping": {"code": code_digest()},
        "list": lambda _: next(listed, []),
        "process.states": [{"pid": 7, "state": state}],
        "heal": {"problems": []},
    }


@pytest.mark.parametrize(("state", "killed"), [("T", True), ("S", False), ("", False)])
def test_only_what_stands_still_is_killed_at_the_end(
    with_queue: World, plan: Plan, state: str, killed: bool
) -> None:
    found = told(with_queue, ending(state))

    words = STOP.end(found, entry(plan.targets[0]), within_seconds=1)

    assert isinstance(found.agent, Agent)
    assert [order["signal"] for _, _, order in found.agent.fired] == ["KILL"] * killed
    assert ("was killed" in words) is killed


def test_a_kill_has_no_other_one_at_its_end() -> None:
    with pytest.raises(ValueError, match="goes with `signal: STOP`"):
        ProcessSignal(signal="KILL", killed_at_end=True)


def refusal(status: int = 503, *, seconds: float = 0.1, again: bool = True) -> Sent:
    headers = {"retry-after": "1"} if again else {}
    reply = Reply(status=status, headers=headers, seconds=seconds)
    return Sent(jobs=("one",), came=Submitted(reply=reply))


@pytest.mark.parametrize(
    ("refused", "seen"),
    [
        ([], "yes"),
        ([refusal()] * 3, "yes"),
        ([refusal(), refusal(status=500)], "no"),
        ([refusal(again=False)], "no"),
        ([refusal(seconds=2)], "no"),
        ([*[refusal()] * 19, refusal(seconds=2)], "yes"),
    ],
)
def test_whoever_is_refused_is_told_so_in_time(refused: list[Sent], seen: str) -> None:
    assert refused_told(refused, 1).seen == seen


# With a real queue.


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Application]:
    with application(tmp_path) as found:
        yield found


@pytest.fixture
def beside(with_queue: World, plan: Plan, machine: Application) -> Iterator[Scene]:
    """Jobs that are queued while the queue is killed, its workers not there yet."""
    gateway = {"gateway": Gateway(url=machine.url)}
    found = replace(with_queue, profile=with_queue.profile.model_copy(update=gateway))
    steps: tuple[dict[str, JsonValue], ...] = (BESIDE.model_dump(), STOP.model_dump())
    entries = tuple(
        entry(plan.targets[0], step).model_copy(update={"id": f"u-{number}"})
        for number, step in enumerate(steps)
    )
    fired = replace(scene(found, plan), entries=entries)
    BESIDE.fire(found, entries[0])
    machine.redis.kill()
    machine.redis.wait()
    sender = jobs_sent.sender_of(entries[0].id)
    assert sender
    until(sender.refused, within_seconds=10, what="a job refused")
    yield fired
    BESIDE.end(found, entries[0], within_seconds=1)


@NEEDS_REDIS
def test_jobs_are_kept_where_the_queue_outlives_its_death(
    beside: Scene, machine: Application
) -> None:
    machine.start_queue()
    assert "accepted batches" in KEPT.look(beside).words

    machine.worker()
    BESIDE.end(beside.world, beside.entries[0], within_seconds=1)

    until(lambda: KEPT.look(beside).seen == "yes", within_seconds=30, what="every job done")


@NEEDS_REDIS
def test_jobs_are_lost_where_the_queue_has_forgotten(beside: Scene, machine: Application) -> None:
    shutil.rmtree(machine.folder / "appendonlydir")
    machine.start_queue()
    machine.worker()

    found = KEPT.look(beside)

    assert (found.seen, "nobody tells of it" in found.words) == ("no", True)


@NEEDS_REDIS
def test_nothing_is_fired_where_no_job_is_accepted(
    with_queue: World, plan: Plan, machine: Application
) -> None:
    machine.redis.kill()
    machine.redis.wait()
    gateway = {"gateway": Gateway(url=machine.url)}
    found = replace(with_queue, profile=with_queue.profile.model_copy(update=gateway))

    with pytest.raises(FaultNotInjected, match="jobs were not accepted: 503"):
        BESIDE.fire(found, entry(plan.targets[0]))


def test_jobs_that_another_process_sent_are_not_known(with_queue: World, plan: Plan) -> None:
    step: dict[str, JsonValue] = BESIDE.model_dump()
    elsewhere = entry(plan.targets[0], step).model_copy(update={"id": "u-elsewhere"})
    found = replace(scene(with_queue, plan), entries=(elsewhere,))

    assert KEPT.look(found).seen == "unknown"
