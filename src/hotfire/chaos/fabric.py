"""What agents tell of the network of their nodes; nothing here changes it."""

from collections.abc import Sequence

from hotfire.chaos.agent_answers import Answer, read
from hotfire.chaos.agent_client import AgentClient


class BgpSession(Answer):
    """One BGP session of a node."""

    name: str
    state: str
    link: str
    """The node's link to the neighbour."""
    neighbour: str
    neighbour_as: int
    own_as: int
    router_id: str
    """Of the neighbour; empty while the session is not established."""

    @property
    def established(self) -> bool:
        return self.state == "Established"


class HeardRoute(Answer):
    """A prefix as a neighbour announces it to a node."""

    prefix: str
    origin_as: int | None
    """Autonomous system that the route began in; None: that of the node itself, or not told."""


class SessionRoutes(Answer):
    """What goes over one BGP session."""

    announced: tuple[str, ...]
    heard: tuple[HeardRoute, ...]


class Crossing(Answer):
    """UDP flows between two addresses that were seen on a link of a node."""

    link: str
    direction: str
    """``in`` or ``out``, as the node sees it."""
    source: str
    destination: str
    source_ports: tuple[int, ...]
    """One for each flow."""


def bgp_sessions(agent: AgentClient, node: str) -> list[BgpSession]:
    """Return a node's BGP sessions.

    Raises:
        HarnessError: no routing daemon that the agent can read answers there.
    """
    return read(list[BgpSession], agent.call(node, "bgp.sessions"))


def session_routes(agent: AgentClient, node: str, session: str) -> SessionRoutes:
    """Return what a node announces and hears in the session of that name."""
    return read(SessionRoutes, agent.call(node, "bgp.routes", session=session))


def crossings(
    agent: AgentClient, node: str, links: Sequence[str], *, port: int, seconds: float
) -> list[Crossing]:
    """Return which UDP flows to a port cross a node's links in the next seconds (at most 8)."""
    told = agent.call(node, "link.flows", links=list(links), port=port, seconds=seconds)
    return read(list[Crossing], told)
