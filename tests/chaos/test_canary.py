"""The canary is made a bad one, seen by its own answers, and made what it was before."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from hotfire.agent import sample
from hotfire.agent.janitor import CHANGED
from hotfire.canary import Behaviour
from hotfire.canary import Canary as Place
from hotfire.chaos import canary, canary_readings
from hotfire.chaos.canary_readings import compared, noted
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import Scene
from hotfire.chaos.sightings.canary_misbehaves import CanaryMisbehaves
from hotfire.chaos.sightings.canary_sound import CanarySound
from hotfire.chaos.steps.canary_behaviour import CanaryBehaviour
from hotfire.chaos.targets.canary import Canary
from hotfire.chaos.undo import Undo, UndoEntry
from hotfire.errors import FaultNotInjected, HarnessError
from hotfire.profile import StackChoice
from tests.chaos import scenes
from tests.chaos.fake_agent import FakeAgent
from tests.chaos.platform import NAMESPACE, Platform
from tests.engine_process import EngineProcess, running_engine
from tests.fake_api import Document, FakeApi

LABELS = {"app": "canary"}
ARGS = ["--tpot-seconds=0.005"]
WAYS: tuple[Behaviour, ...] = ("slow", "errors", "invalid-json", "wrong-model")
SCRIPTS: dict[str, dict[str, object]] = {
    "sound": {"misbehaviour": "ok", "tpot_seconds": 0.005, "every": 1},
    "slow": {"tpot_seconds": 0.00625},
    "errors": {"misbehaviour": "internal_error", "every": 20},
    "invalid-json": {"misbehaviour": "free_text", "every": 33},
    "wrong-model": {"misbehaviour": "echo"},
}


def put(api: FakeApi, version: str, kind: str, name: str, **parts: Any) -> Document:  # noqa: ANN401 - parts of any object
    metadata = {"name": name, "namespace": NAMESPACE, **parts.pop("metadata", {})}
    return api.put({"apiVersion": version, "kind": kind, "metadata": metadata, **parts})


@pytest.fixture
def workload(api: FakeApi, platform: Platform) -> Document:
    """The canary behind its Service, with a tenth of the requests; the engines are there, too."""
    backends = [{"name": "engine", "weight": 90}, {"name": "canary", "weight": 10}]
    put(api, "v1", "Service", "canary", spec={"selector": LABELS})
    route = {"rules": [{"backendRefs": backends}]}
    put(api, "gateway.networking.k8s.io/v1", "HTTPRoute", "models", spec=route)
    template = {
        "metadata": {"labels": LABELS},
        "spec": {"containers": [{"name": "engine", "args": ARGS}, {"name": "proxy"}]},
    }
    made = {"replicas": 1, "selector": {"matchLabels": LABELS}, "template": template}
    status = {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "observedGeneration": 1}
    found = put(
        api, "apps/v1", "Deployment", "canary", spec=made, status=status, metadata={"generation": 1}
    )
    pod(api, "canary-1")
    return found


def pod(api: FakeApi, name: str, mark: str = "") -> None:
    metadata = {"labels": LABELS, "annotations": {CHANGED: mark} if mark else {}}
    status = {
        "phase": "Running", "podIP": "127.0.0.1",
        "conditions": [{"type": "Ready", "status": "True"}],
    }  # fmt: skip
    put(api, "v1", "Pod", name, metadata=metadata, spec={"nodeName": "n1"}, status=status)


@pytest.fixture
def plan(world: World, workload: Document) -> Plan:
    return Canary().resolve(world, "FLT-CAN-002")


def entry(world: World, plan: Plan, step: CanaryBehaviour) -> UndoEntry:
    former = step.former(world, plan.targets[0])
    made = scenes.entry(plan.targets[0])
    return made.model_copy(update={"undo": Undo(step=step.model_dump(mode="json"), former=former)})


def now(api: FakeApi) -> Document:
    return api.objects["apps/v1", "deployments", NAMESPACE, "canary"]


def args(api: FakeApi) -> list[object]:
    return [one.get("args") for one in now(api)["spec"]["template"]["spec"]["containers"]]


# Who is hit


def test_the_engines_are_bystanders_of_the_canary(world: World, plan: Plan) -> None:
    assert [one.name for one in plan.targets] == ["canary"]
    assert [one.name for one in plan.bystanders] == ["engine-1", "engine-2"]
    assert "gets 10% of the requests" in Canary().spared(world, plan)


def test_a_canary_with_more_users_than_planned_is_not_hit(world: World, plan: Plan) -> None:
    with pytest.raises(HarnessError, match="gets 10% of the requests, at most 5%"):
        Canary(most_share=0.05).look_again(world, plan)


def test_a_canary_without_users_could_harm_nobody(world: World, plan: Plan, api: FakeApi) -> None:
    route = api.objects["gateway.networking.k8s.io/v1", "httproutes", NAMESPACE, "models"]
    route["spec"]["rules"][0]["backendRefs"][1]["weight"] = 0

    with pytest.raises(HarnessError, match="nobody is sent to the canary"):
        Canary().spared(world, plan)


def test_a_share_that_nobody_tells_is_not_taken_for_a_small_one(
    world: World, plan: Plan, api: FakeApi
) -> None:
    del api.objects["gateway.networking.k8s.io/v1", "httproutes", NAMESPACE, "models"]

    with pytest.raises(HarnessError, match="nobody knows how many users"):
        Canary().spared(world, plan)


# What is done


@pytest.mark.parametrize("how", WAYS)
def test_it_gets_the_arguments_that_make_it_bad_and_loses_them_again(
    world: World, plan: Plan, api: FakeApi, how: Behaviour
) -> None:
    step = CanaryBehaviour(how=how)
    done = entry(world, plan, step)
    step.rehearse(world, plan.targets[0])
    rehearsed = args(api)

    step.fire(world, done)
    bad = args(api)
    step.end(world, done, within_seconds=1)

    assert rehearsed == args(api) == [ARGS, None]
    assert bad == [[*ARGS, *canary.arguments(world.profile, how)], None]
    assert CHANGED not in now(api)["spec"]["template"]["metadata"].get("annotations", {})


def test_what_its_owner_rolls_out_after_it_was_put_back_stays(
    world: World, plan: Plan, api: FakeApi
) -> None:
    step = CanaryBehaviour(how="slow")
    done = entry(world, plan, step)
    step.fire(world, done)
    step.end(world, done, within_seconds=1)
    now(api)["spec"]["template"]["spec"]["containers"][0]["args"] = ["--theirs"]

    step.end(world, done, within_seconds=1)

    assert args(api) == [["--theirs"], None]


def test_a_canary_that_still_bears_a_mark_is_not_hit_again(
    world: World, plan: Plan, api: FakeApi
) -> None:
    step = CanaryBehaviour(how="slow")
    step.fire(world, entry(world, plan, step))

    with pytest.raises(HarnessError, match="still has the pod template of u-1"):
        step.require_whole(world, plan.targets[0])


def test_a_platform_of_others_has_to_tell_how_its_canary_is_made_bad(world: World) -> None:
    theirs = world.profile.model_copy(update={"stack": StackChoice(deploy=False)})
    told = theirs.model_copy(update={"canary": Place(behaviours={"slow": ["--slower"]})})

    assert canary.arguments(told, "slow") == ["--slower"]
    with pytest.raises(HarnessError, match=r"set canary\.behaviours\.errors"):
        canary.arguments(told, "errors")


# What is seen


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineProcess]:
    with running_engine("--ttft-seconds=0.001", "--tpot-seconds=0.005") as found:
        yield found


@pytest.fixture
def asked(world: World, engine: EngineProcess) -> World:
    """The world with an agent that asks the scripted engine for every pod of the canary."""
    engine.script(**SCRIPTS["sound"])
    place = Place(port=engine.port)
    profile = world.profile.model_copy(update={"canary": place})
    agent = FakeAgent(world, {"engine.sample": lambda _node, **order: sample.engine(order)})
    return replace(world, profile=profile, agent=agent)


@pytest.mark.parametrize("how", WAYS)
def test_each_bad_canary_is_told_from_a_sound_one_by_its_answers(
    asked: World, engine: EngineProcess, workload: Document, how: Behaviour
) -> None:
    before = noted(asked, how)[canary_readings.NOTED]
    engine.script(**SCRIPTS[how])
    bad = compared(how, before, canary_readings.reading(asked, how))
    engine.script(**SCRIPTS["sound"])
    back = compared(how, before, canary_readings.reading(asked, how))

    assert (bad.bad, bad.sound) == (True, False), bad.words
    assert (back.bad, back.sound) == (False, True), back.words


def test_one_that_is_bad_in_another_degree_is_neither(
    asked: World, engine: EngineProcess, workload: Document
) -> None:
    before = noted(asked, "errors")[canary_readings.NOTED]
    engine.script(misbehaviour="internal_error", every=2)
    worse = compared("errors", before, canary_readings.reading(asked, "errors"))

    assert (worse.bad, worse.sound) == (False, False)


def test_a_canary_that_is_bad_already_proves_nothing(
    asked: World, engine: EngineProcess, workload: Document
) -> None:
    engine.script(**SCRIPTS["errors"])

    with pytest.raises(HarnessError, match="not steady before the fault"):
        noted(asked, "errors")


def rolled(api: FakeApi, world: World, plan: Plan, how: Behaviour = "errors") -> Scene:
    """Return the scene once the bad canary's pod is there instead of the former one."""
    step = CanaryBehaviour(how=how)
    found = scenes.scene(world, plan, CanaryMisbehaves(how=how))
    found = replace(found, entries=(entry(world, plan, step),))
    step.fire(world, found.entries[0])
    del api.objects["v1", "pods", NAMESPACE, "canary-1"]
    pod(api, "canary-2", mark="u-1")
    return found


def test_it_is_seen_by_the_new_pod_and_over_with_the_former_template(
    asked: World, engine: EngineProcess, plan: Plan, api: FakeApi
) -> None:
    found = rolled(api, asked, plan)
    engine.script(**SCRIPTS["errors"])
    seen, early = CanaryMisbehaves(how="errors").look(found), CanarySound(how="errors").look(found)
    CanaryBehaviour(how="errors").end(asked, found.entries[0], within_seconds=1)
    left = CanarySound(how="errors").look(found)
    del api.objects["v1", "pods", NAMESPACE, "canary-2"]
    pod(api, "canary-3")
    engine.script(**SCRIPTS["sound"])

    assert (seen.seen, early.seen, left.seen) == ("yes", "no", "no"), seen.words
    assert "of another template: canary-2" in left.words
    assert CanarySound(how="errors").look(found).seen == "yes"


def test_what_nobody_could_ask_is_unknown(asked: World, plan: Plan, api: FakeApi) -> None:
    found = rolled(api, asked, plan)
    silent = replace(found, world=replace(asked, agent=FakeAgent(asked, {})))

    assert CanaryMisbehaves(how="errors").look(silent).seen == "unknown"


def test_a_canary_that_was_never_rolled_out_is_told_at_once(
    asked: World, plan: Plan, workload: Document
) -> None:
    word = CanaryMisbehaves(how="wrong-model")

    with pytest.raises(FaultNotInjected, match="is not changed"):
        word.look(scenes.scene(asked, plan, word))
