"""Only the gateway and the metrics scraper reach engine pods.

An engine asks nobody for a key: that is the gateway's work. Whoever reaches its port past the
gateway has the model without authentication, quota and record, and a policy that one engine is not
under, or that a network plugin does not enforce, looks the same as one that holds.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from fixtures.data_plane import DataPlane
from fixtures.scratch import Scratch
from fixtures.stack import CANARY
from fixtures.within_engines import ANSWERED, WithinEngines
from hotfire import Endpoint, Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Document
from hotfire.errors import HarnessError

pytestmark = requirement(
    "SEC-006",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/services-networking/network-policies/",
    features={"network-policies"},
)

STRANGER, IMPOSTOR, OPEN = "stranger", "impostor", "open"
OPEN_PORT = 8080
# A connection that a policy drops makes no sound; one that it lets pass stands in milliseconds.
WITHIN_SECONDS = 5.0
ASKED = 20
# All at once; tries again until the time is over, as a client does.
CONNECT = """
import json, socket, sys, threading, time
within, *addresses = sys.argv[1:]
found, end = {}, time.monotonic() + float(within)
def connect(address):
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=max(0.1, end - time.monotonic())):
            found[address] = "connected"
    except OSError as error:
        found[address] = type(error).__name__
threads = [threading.Thread(target=connect, args=[address]) for address in addresses]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(found))
"""
CONNECTED = "connected"
LISTEN = ["python3", "-m", "http.server", str(OPEN_PORT)]
IDLE = ["sleep", "600"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Strangers:
    """Pods of ours in a namespace of ours, and one there that no policy is about."""

    scratch: Scratch
    names: tuple[str, ...]
    open_address: str

    def connections(self, name: str, addresses: list[str]) -> dict[str, str]:
        """Return what became of connections from one of them, by address."""
        words = [str(WITHIN_SECONDS), *addresses, self.open_address]
        found: dict[str, str] = json.loads(
            self.scratch.exec(name, ["python3", "-c", CONNECT, *words])
        )
        return found


def labels_of(proxies: list[Document]) -> Mapping[str, str]:
    """Return the labels of the gateway's pods; with those of one anybody can adorn a pod."""
    return proxies[0]["metadata"].get("labels") or {} if proxies else {}


@pytest.fixture
def strangers(scratch: Scratch, data_plane: DataPlane) -> Strangers:
    """A pod without any right, and one with the gateway's labels in another namespace."""
    scratch.pod(OPEN, argv=LISTEN)
    scratch.pod(STRANGER, argv=IDLE)
    disguise = labels_of(data_plane.proxies())
    if disguise:
        scratch.pod(IMPOSTOR, argv=IDLE, labels=disguise)
    names = (STRANGER, *([IMPOSTOR] if disguise else []))
    for name in names:
        scratch.wait_phase(name, "Running")
    address = scratch.wait_phase(OPEN, "Running").ip
    return Strangers(scratch=scratch, names=names, open_address=f"{address}:{OPEN_PORT}")


def addresses(within: WithinEngines, profile: TargetProfile) -> dict[str, str]:
    """Return where each engine that serves listens, by its pod's name.

    Raises:
        HarnessError: one does not answer itself: then nobody is kept from it.
    """
    found = {}
    for pod in within.serving():
        if (said := within.answer(pod)) != ANSWERED:
            raise HarnessError(f"{pod.name} does not answer itself: {said}")
        found[pod.name] = f"{pod.ip}:{profile.engine.port}"
    return found


def through_the_gateway(endpoint: Endpoint) -> Iterator[str]:
    """Yield who answered requests through the gateway, the canary left out."""
    for _ in range(ASKED):
        reply = endpoint.chat("?", max_tokens=1, fresh=True)
        if reply.ok and reply.served_by != CANARY:
            yield reply.served_by or "an engine"


def test_nobody_else_connects(
    profile: TargetProfile,
    within_engines: WithinEngines,
    strangers: Strangers,
    endpoint: Endpoint,
    evidence: Evidence,
) -> None:
    engines = addresses(within_engines, profile)
    seen = {name: strangers.connections(name, [*engines.values()]) for name in strangers.names}
    passed = list(through_the_gateway(endpoint))
    evidence.record("engines", engines)
    evidence.record("connections", seen)
    evidence.record("answers_through_the_gateway", len(passed))

    for name, connections in seen.items():
        let_in = [pod for pod, address in engines.items() if connections[address] == CONNECTED]
        assert not let_in, (
            f"a pod of another namespace ({name}) connects to {', '.join(let_in)}; let a"
            " NetworkPolicy that selects every engine admit the gateway and the scraper only"
        )
    assert passed, f"none of {ASKED} requests through the gateway was answered by an engine"
    # Negative control: where no policy is, the same connection stands.
    shut = [name for name, one in seen.items() if one[strangers.open_address] != CONNECTED]
    if shut:
        raise HarnessError(f"{shut} cannot connect within {strangers.scratch.namespace} either")
