"""Members of the control plane lose a service, and only what asks them may notice."""

import sys
from collections.abc import Callable

import pytest

from hotfire.chaos import outside
from hotfire.chaos.agent_client import AgentClient
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import Scene
from hotfire.chaos.sightings.member_away import MemberAway
from hotfire.chaos.sightings.member_back import MemberBack
from hotfire.chaos.targets.control_plane_members import ControlPlaneMembers
from hotfire.errors import ClusterError, Forbidden, HarnessError
from hotfire.machines import ControlPlane
from tests.chaos.platform import Platform
from tests.chaos.scenes import scene
from tests.chaos.scripted_agent import asking
from tests.chaos.test_node_faults import node
from tests.fake_api import FakeApi

STOPPED, RUNS = {"pid": None}, {"pid": 7}
SILENT = MemberAway(service="etcd", api="silent")
ALONE = MemberAway(service="etcd", api="answers")
BACK = MemberBack(service="etcd")
REPLIES = "import sys; print('{\"ok\": true, \"result\": ' + sys.argv[1] + '}')"
REFUSES = 'print(\'{"ok": false, "error": "no such service"}\')'


def world_of(world: World, *members: str) -> World:
    """Return a world with so many members that are no nodes."""
    control_plane = ControlPlane(agents={name: [sys.executable, "-c", REPLIES] for name in members})
    profile = world.profile.model_copy(update={"control_plane": control_plane})
    return World(cluster=world.cluster, agent=world.agent, profile=profile)


@pytest.fixture(autouse=True)
def _platform(platform: Platform) -> None:
    """Two engines."""


@pytest.fixture
def plan(world: World) -> Plan:
    word = ControlPlaneMembers(hit="all")
    return word.resolve(world_of(world, "cp1", "cp2", "cp3"), "FLT-CTL-001")


Stage = Callable[[object, int | None], Scene]


@pytest.fixture
def stage(world: World, api: FakeApi, plan: Plan) -> Stage:
    """The fault where members tell this of their service, and the API refuses so."""

    def found(state: object, refused: int | None) -> Scene:
        if refused:
            api.refuse["GET namespaces"] = refused
        return scene(asking(world, service_state=state), plan)

    return found


@pytest.mark.parametrize(
    ("hit", "names"),
    [("one", ["cp1"]), ("majority", ["cp1", "cp2"]), ("all", ["cp1", "cp2", "cp3"])],
)
def test_so_many_members_are_hit_and_every_engine_stays(
    world: World, hit: str, names: list[str]
) -> None:
    word = ControlPlaneMembers.model_validate({"hit": hit})
    found = world_of(world, "cp3", "cp1", "cp2")

    plan = word.resolve(found, "FLT-CTL-001")

    assert [one.node for one in plan.targets] == names
    assert plan.survivors == plan.ready == 2
    assert "every engine, behind a Service" in word.spared(found, plan)


def test_a_single_member_has_no_other_to_keep_the_quorum(world: World) -> None:
    with pytest.raises(HarnessError, match="needs 3 members of the control plane, seen are cp1"):
        ControlPlaneMembers(hit="one", of_at_least=3).resolve(world_of(world, "cp1"), "FLT-CTL-002")


def test_members_that_are_nodes_are_those_with_an_agent(
    world: World, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("n1", "n2"):
        labelled = node(name)
        labelled["metadata"]["labels"] = {"node-role.kubernetes.io/control-plane": ""}
        api.put(labelled)
    monkeypatch.setattr(AgentClient, "nodes", lambda _: ["n1", "n9"])

    plan = ControlPlaneMembers(hit="all").resolve(world, "FLT-CTL-001")

    assert [one.node for one in plan.targets] == ["n1"]


def test_without_a_ready_engine_nothing_is_fired(
    world: World, plan: Plan, platform: Platform
) -> None:
    platform.pod("engine-2")["status"]["conditions"][0]["status"] = "False"

    with pytest.raises(HarnessError, match="not Ready any more"):
        ControlPlaneMembers(hit="all").look_again(world, plan)


@pytest.mark.parametrize(
    ("state", "refused", "seen"),
    [
        (STOPPED, 503, ("yes", "no")),
        (STOPPED, None, ("no", "yes")),
        (RUNS, 503, ("no", "no")),
        (RUNS, None, ("no", "no")),
    ],
)
def test_a_member_is_away_by_its_agent_and_the_api_by_our_own_question(
    stage: Stage, state: object, refused: int | None, seen: tuple[str, str]
) -> None:
    found = stage(state, refused)

    assert (SILENT.look(found).seen, ALONE.look(found).seen) == seen


def test_what_nobody_may_ask_or_no_agent_tells_is_unknown(
    world: World, api: FakeApi, plan: Plan
) -> None:
    with pytest.raises(ClusterError, match="did not open"):
        SILENT.look(scene(asking(world), plan))

    api.refuse["GET namespaces"] = 403
    for word in (SILENT, BACK):
        with pytest.raises(Forbidden):
            word.look(scene(asking(world, service_state=STOPPED), plan))


@pytest.mark.parametrize(
    ("state", "refused", "seen"), [(RUNS, None, "yes"), (STOPPED, None, "no"), (RUNS, 503, "no")]
)
def test_it_is_back_when_it_runs_and_the_api_answers(
    stage: Stage, state: object, refused: int | None, seen: str
) -> None:
    assert BACK.look(stage(state, refused)).seen == seen


def test_it_is_not_back_without_its_engines(world: World, plan: Plan, platform: Platform) -> None:
    platform.pod("engine-2")["status"]["conditions"][0]["status"] = "False"

    assert BACK.look(scene(asking(world, service_state=RUNS), plan)).seen == "no"


def test_a_machine_that_is_no_node_is_asked_by_its_own_command(world: World) -> None:
    found = world_of(world, "cp1")
    agent = AgentClient(found.cluster, found.profile, token=5)

    answer = agent.call("cp1", "service.state", service="etcd")

    assert answer == {"op": "service.state", "service": "etcd", "token": 5}


def test_its_refusal_and_its_silence_are_told(world: World) -> None:
    members = {"refuses": [sys.executable, "-c", REFUSES], "mute": ["true"], "none": ["/no/such"]}
    update = {"control_plane": ControlPlane(agents=members)}
    agent = AgentClient(world.cluster, world.profile.model_copy(update=update))

    with pytest.raises(HarnessError, match="refused ping: no such service"):
        agent.call("refuses", "ping")
    with pytest.raises(ClusterError, match="mute did not answer ping"):
        agent.call("mute", "ping")
    with pytest.raises(ClusterError, match="/no/such did not run"):
        agent.call("none", "ping")


def test_a_command_that_hangs_is_given_up() -> None:
    hangs = ["sh", "-c", "exec sleep 60"]

    with pytest.raises(ClusterError, match="timed out"):
        outside.run(hangs, within_seconds=0.2)
