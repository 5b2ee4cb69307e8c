"""Agents that answer what a test tells them to, and remember what they were asked."""

from dataclasses import replace
from typing import Any

from hotfire.chaos.agent_answers import AgentEntry
from hotfire.chaos.agent_client import AgentClient
from hotfire.chaos.before import Before
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import Scene, Sighting, SightingWord
from hotfire.chaos.written import Target
from hotfire.errors import ClusterError
from hotfire.profile import Fabric
from tests.chaos.test_undo import entry

LINK = Target(
    kind="link", name="engine-1", namespace="hotfire-stack", uid="u", node="n1", link="up1"
)
UP = {
    "neighbour": "10.0.1.0", "interface": "up1", "state": "Up", "since": "", "timeout_seconds": 0.3,
}  # fmt: skip
WHOLE = {
    "link": "up1", "carrier": True, "received_packets": 1, "sent_packets": 1,
    "carrier_changes": 2, "drops": {}, "bfd": [UP],
}  # fmt: skip
ECHOES = {
    "sent": 2000, "lost": 0, "doubled": 0, "overtaken": 0, "damaged": 0,
    "round_trip_seconds": 0.001,
}  # fmt: skip
Answers = dict[str, Any]


class FakeAgent(AgentClient):
    """Answers by operation; what is not told of does not answer."""

    def __init__(self, world: World, answers: Answers, nodes: tuple[str, ...] = ("n1",)) -> None:
        super().__init__(world.cluster, world.profile)
        self.answers = answers
        self.asked: list[tuple[str, str]] = []
        self.fired: list[tuple[str, str, dict[str, object]]] = []
        self._here = list(nodes)

    def nodes(self) -> list[str]:
        return self._here

    def fire(self, node: str, op: str, id_: str, **args: object) -> AgentEntry:
        self.fired.append((node, op, args))
        return AgentEntry(id=id_, op=op, state="injected")

    def call(self, node: str, op: str, **args: object) -> object:
        self.asked.append((node, op))
        if op not in self.answers:
            raise ClusterError(f"the agent on {node} did not answer {op}")
        answer = self.answers[op]
        return answer(node, **args) if callable(answer) else answer


def told(world: World, answers: Answers, nodes: tuple[str, ...] = ("n1",)) -> World:
    """Return a world with two uplinks, whose agents answer this."""
    fabric = Fabric(uplinks=["up1", "up2"], routing="bird")
    profile = world.profile.model_copy(update={"fabric": fabric})
    return replace(world, profile=profile, agent=FakeAgent(world, answers, nodes))


def scene(world: World, *targets: Target, noted: Answers | None = None) -> Scene:
    """Return a fault on targets, with what its sighting noted before."""
    plan = Plan(experiment="FLT-NET-001", targets=targets, at_most=len(targets))
    entries = tuple(
        entry(f"u-{number}").model_copy(update={"target": target})
        for number, target in enumerate(targets, start=1)
    )
    before = Before(noted=noted or {})
    return Scene(world=world, plan=plan, entries=entries, before=before)


def look(word: SightingWord, world: World, answers: Answers, **noted: object) -> Sighting:
    """Return what a sighting sees of one link whose agent answers this."""
    return word.look(scene(told(world, answers), LINK, noted=noted))
