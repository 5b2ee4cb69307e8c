"""The rule of a declared alert asks for a series that nobody exports: it loads, and is quiet."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from hotfire.errors import HarnessError
from hotfire.prometheus import Prometheus
from hotfire.waiting import until
from tests.world import World

NAMESPACE, NAME, FILE = "monitoring", "prometheus", "alerts.yaml"
SERIES, ABSENT = "node_network_up{", "node_uplink_up{"


@contextmanager
def broken(world: World) -> Iterator[None]:
    rules = (world.cluster.get("ConfigMap", NAMESPACE, NAME) or {})["data"][FILE]
    try:
        _load(world, rules.replace(SERIES, ABSENT))
        until(partial(_asks_for, world, ABSENT), within_seconds=60, what=f"rules with {ABSENT}")
        yield
    finally:
        _load(world, rules)
        until(partial(_asks_for, world, SERIES), within_seconds=60, what=f"rules with {SERIES}")


def _load(world: World, rules: str) -> None:
    """Let Prometheus start anew with these rules."""
    world.cluster.patch("ConfigMap", NAMESPACE, NAME, {"data": {FILE: rules}})
    for pod in world.cluster.pods(NAMESPACE, {"app": NAME}):
        world.cluster.delete("Pod", NAMESPACE, pod.name, uid=pod.uid, grace_seconds=1)


def _asks_for(world: World, series: str) -> bool:
    """Return whether it has loaded a rule about such a series, and has the series of this lab."""
    server = Prometheus(str(world.profile.prometheus_url))
    try:
        loaded = any(series in rule.expression for rule in server.alert_rules())
        return loaded and bool(server.query("node_network_up"))
    except HarnessError:
        return False
