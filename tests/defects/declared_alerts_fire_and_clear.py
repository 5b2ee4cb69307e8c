"""The rule of a declared alert asks for a series that nobody exports: it loads, and is quiet."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.prometheus import Prometheus
from tests.loaded_rules import other_rules
from tests.world import World

SERIES, ABSENT = "node_network_up{", "node_uplink_up{"


@contextmanager
def broken(world: World) -> Iterator[None]:
    def loaded(server: Prometheus) -> bool:
        return any(ABSENT in rule.expression for rule in server.alert_rules())

    def absent(rules: str) -> str:
        return rules.replace(SERIES, ABSENT)

    with other_rules(world, "alerts.yaml", absent, loaded=loaded):
        yield
