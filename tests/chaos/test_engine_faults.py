"""What shows that an engine hangs, has died, crashes again and again, or waits for the CPU."""

import pytest

from hotfire.chaos.agent_pods import code_digest
from hotfire.chaos.blast import resolve
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import SightingWord
from hotfire.chaos.sightings.cpu_unbound import CpuUnbound
from hotfire.chaos.sightings.crash_looping import CrashLooping
from hotfire.chaos.sightings.engine_hung import EngineHung
from hotfire.chaos.sightings.engine_restarted import EngineRestarted
from hotfire.chaos.sightings.engine_throttled import EngineThrottled
from hotfire.chaos.sightings.engines_untouched import EnginesUntouched
from hotfire.chaos.sightings.processes_gone import ProcessesGone
from hotfire.chaos.steps.crash_loop import CrashLoop
from hotfire.chaos.steps.process_signal import ProcessSignal
from hotfire.chaos.targets.engine_majority import EngineMajority
from hotfire.errors import HarnessError
from tests.chaos.platform import KILL, Platform
from tests.chaos.scenes import entry, scene, unnoted
from tests.chaos.scripted_agent import asking
from tests.fake_api import FakeApi

WRITES = {"status": 200, "wrote": True, "said": ""}
SILENT = {"status": None, "wrote": False, "said": "TimeoutError: timed out"}
ARMED = [{"id": "u-1", "op": "process.signal", "state": "injected"}]
RUNS, STANDS, GONE = ([{"pid": 7, "state": one}] for one in ("S", "T", ""))


@pytest.fixture
def plan(world: World, platform: Platform) -> Plan:
    return resolve(world, KILL)


def restarted(platform: Platform, count: int, *, waiting: str = "") -> None:
    """Let the kubelet tell of restarts of the engine that is hit."""
    status = platform.pod("engine-1")["status"]["containerStatuses"][0]
    status["restartCount"] = count
    status["state"] = {"waiting": {"reason": waiting}} if waiting else {"running": {}}


@pytest.mark.parametrize(
    ("states", "answer", "seen"),
    [
        (STANDS, SILENT, "yes"),
        (RUNS, SILENT, "no"),
        (GONE, SILENT, "no"),
        ([], SILENT, "no"),
        (STANDS, WRITES, "no"),
        (STANDS, {"status": 500, "wrote": False}, "yes"),
    ],
)
def test_an_engine_hangs_when_it_stands_still_and_writes_nothing(
    world: World, plan: Plan, states: list[object], answer: object, seen: str
) -> None:
    before = scene(asking(world, engine_ask=WRITES), plan, EngineHung())
    told = asking(world, list=ARMED, process_states=states, engine_ask=answer)

    found = EngineHung().look(scene(told, plan, noted=before.before.noted))

    assert found.seen == seen


def test_an_engine_that_wrote_nothing_before_cannot_be_shown_to_hang(
    world: World, plan: Plan
) -> None:
    with pytest.raises(HarnessError, match="wrote no token before the fault"):
        EngineHung().note(asking(world, engine_ask=SILENT), plan)


def test_a_hang_that_nobody_can_look_at_is_unknown(world: World, plan: Plan) -> None:
    with pytest.raises(HarnessError, match="did not open"):
        EngineHung().look(scene(asking(world), plan))


@pytest.mark.parametrize("word", [EngineHung(), ProcessesGone()])
def test_what_was_never_ordered_did_nothing(world: World, plan: Plan, word: SightingWord) -> None:
    sham = asking(world, list=[], process_states=HarnessError("this node has no entry u-1"))

    assert word.look(scene(sham, plan)).seen == "no"


@pytest.mark.parametrize(("states", "seen"), [(GONE, "yes"), (RUNS, "no"), ([], "no")])
def test_killed_processes_are_gone_when_none_is_left(
    world: World, plan: Plan, states: list[object], seen: str
) -> None:
    found = ProcessesGone().look(scene(asking(world, list=ARMED, process_states=states), plan))

    assert found.seen == seen


def test_processes_nobody_can_ask_about_are_unknown(world: World, plan: Plan) -> None:
    with pytest.raises(HarnessError, match="did not open"):
        ProcessesGone().look(scene(asking(world), plan))


def test_an_engine_that_runs_as_before_was_not_restarted(
    world: World, platform: Platform, plan: Plan
) -> None:
    before = scene(world, plan)

    first = EngineRestarted().look(before)
    restarted(platform, 1)

    assert (first.seen, EngineRestarted().look(before).seen) == ("no", "yes")


def test_a_restarted_engine_counts_only_with_the_capacity_back(
    world: World, platform: Platform, plan: Plan
) -> None:
    before = scene(world, plan)
    restarted(platform, 1)
    platform.pod("engine-1")["status"]["conditions"][0]["status"] = "False"

    assert EngineRestarted().look(before).seen == "no"


def test_restarts_are_unknown_while_the_api_server_is_silent(
    world: World, api: FakeApi, plan: Plan
) -> None:
    before = scene(world, plan)
    api.refuse["GET pods"] = 503

    with pytest.raises(HarnessError):
        EngineRestarted().look(before)


@pytest.mark.parametrize(
    ("count", "waiting", "seen"),
    [
        (3, "CrashLoopBackOff", "yes"),
        (2, "CrashLoopBackOff", "no"),
        (3, "", "no"),
        (3, "ImagePullBackOff", "no"),
    ],
)
def test_a_crash_loop_takes_three_restarts_and_a_back_off(
    world: World, platform: Platform, plan: Plan, count: int, waiting: str, seen: str
) -> None:
    before = scene(world, plan)
    restarted(platform, count, waiting=waiting)

    assert CrashLooping().look(before).seen == seen


def test_restarts_of_before_alone_are_no_crash_loop(
    world: World, platform: Platform, plan: Plan
) -> None:
    restarted(platform, 5, waiting="CrashLoopBackOff")
    before = scene(world, plan)
    sham = CrashLooping().look(before)
    restarted(platform, 6, waiting="CrashLoopBackOff")

    assert (sham.seen, CrashLooping().look(before).seen) == ("no", "yes")


def test_ending_a_crash_loop_deletes_the_pod_that_backs_off(
    world: World, api: FakeApi, platform: Platform, plan: Plan
) -> None:
    told = asking(world, ping={"code": code_digest()}, list=[], heal={"problems": []})
    platform.pod("engine-1")["status"]["conditions"][0]["status"] = "False"

    words = CrashLoop().end(told, entry(plan.targets[0]), within_seconds=5)

    assert "deleted to clear its back-off" in words
    assert api.names("pods") == ["engine-2"]


def test_ending_a_crash_loop_leaves_a_pod_that_serves(
    world: World, api: FakeApi, plan: Plan
) -> None:
    told = asking(world, ping={"code": code_digest()}, list=[], heal={"problems": []})

    CrashLoop().end(told, entry(plan.targets[0]), within_seconds=5)

    assert api.names("pods") == ["engine-1", "engine-2"]


CPU = {"limit": "-1 100000", "periods": 10, "throttled_periods": 0}


@pytest.mark.parametrize(
    ("limit", "periods", "throttled", "seen"),
    [
        ("30000 100000", 40, 25, "yes"),
        ("30000 100000", 40, 10, "no"),
        ("30000 100000", 12, 2, "no"),
        ("-1 100000", 40, 25, "no"),
    ],
)
def test_an_engine_is_throttled_when_it_waits_in_most_periods(
    world: World, plan: Plan, limit: str, periods: int, throttled: int, seen: str
) -> None:
    before = scene(asking(world, cgroup_cpu=CPU), plan, EngineThrottled())
    now = {"limit": limit, "periods": periods, "throttled_periods": throttled}

    found = EngineThrottled().look(
        scene(asking(world, cgroup_cpu=now), plan, noted=before.before.noted)
    )

    assert found.seen == seen


def test_throttling_is_unknown_where_nobody_noted_the_counters(world: World, plan: Plan) -> None:
    found = unnoted(scene(asking(world, cgroup_cpu=CPU), plan))

    with pytest.raises(HarnessError, match="nobody noted the CPU quota"):
        EngineThrottled().look(found)


@pytest.mark.parametrize(("limit", "seen"), [("-1 100000", "yes"), ("30000 100000", "no")])
def test_an_engine_is_unbound_with_its_former_limit(
    world: World, plan: Plan, limit: str, seen: str
) -> None:
    before = scene(asking(world, cgroup_cpu=CPU), plan, CpuUnbound())
    now = asking(world, cgroup_cpu=CPU | {"limit": limit})

    assert CpuUnbound().look(scene(now, plan, noted=before.before.noted)).seen == seen


def test_an_engine_that_was_restarted_has_no_quota_of_ours(
    world: World, platform: Platform, plan: Plan
) -> None:
    before = scene(asking(world, cgroup_cpu=CPU), plan, CpuUnbound())
    restarted(platform, 1)

    assert CpuUnbound().look(before).seen == "yes"


def test_an_evicted_engine_was_touched(world: World, platform: Platform, plan: Plan) -> None:
    before = scene(world, plan)

    undisturbed = EnginesUntouched().look(before)
    restarted(platform, 1)
    again = EnginesUntouched().look(before)

    assert (undisturbed.seen, again.seen) == ("yes", "no")


def test_a_majority_of_two_is_refused_with_a_remedy(world: World, platform: Platform) -> None:
    with pytest.raises(HarnessError, match=r"needs 3 .* there are 2: .* run it with 3 replicas"):
        EngineMajority().resolve(world, "FLT-POD-002")


@pytest.mark.parametrize(("engines", "hit"), [(3, 2), (4, 3), (5, 3)])
def test_a_majority_is_the_smallest_one(
    world: World, platform: Platform, engines: int, hit: int
) -> None:
    for _ in range(engines - 2):
        platform.add_engine()

    plan = EngineMajority().resolve(world, "FLT-POD-002")

    assert EngineMajority().engines_needed == 3
    assert (len(plan.targets), len(plan.bystanders)) == (hit, engines - hit)
    assert plan.at_most == hit


def test_a_signal_names_the_container_or_the_service(world: World, plan: Plan) -> None:
    target = plan.targets[0]
    engine = ProcessSignal(signal="STOP", process="EngineCore").order(world, target)
    service = ProcessSignal(signal="KILL", service="bird").order(world, target)

    assert engine["container_id"] == target.container_id
    assert engine["or_all"]
    assert service == {"signal": "KILL", "service": "bird"}
