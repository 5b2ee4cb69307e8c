"""Node agents whose answers a test chooses, by operation: a value, or an error to be raised."""

from collections.abc import Mapping
from typing import Final

from hotfire.chaos.agent_client import AgentClient
from hotfire.chaos.plan import World
from hotfire.errors import ClusterError

OUT_OF_REACH: Final = ClusterError("the way to the agent did not open")


class ScriptedAgent(AgentClient):
    """Answers what it was told to, and remembers what it was asked."""

    def __init__(self, world: World, answers: Mapping[str, object]) -> None:
        super().__init__(world.cluster, world.profile)
        self.answers = dict(answers)
        self.asked: list[tuple[str, str, dict[str, object]]] = []

    def _call(
        self, node: str, op: str, args: Mapping[str, object], *, repeatable: bool = False
    ) -> object:
        del repeatable
        self.asked.append((node, op, dict(args)))
        answer = self.answers.get(op, OUT_OF_REACH)
        if isinstance(answer, Exception):
            raise answer
        return answer


def asking(world: World, **answers: object) -> World:
    """Return a world whose agents answer so; an operation may be written with ``_`` for its dot."""
    by_name = {name.replace("_", ".", 1): answer for name, answer in answers.items()} | answers
    agent = ScriptedAgent(world, by_name)
    return World(cluster=world.cluster, agent=agent, profile=world.profile)
