"""The declared pod MTU passes unfragmented on every path.

Where one link of several takes smaller packets than pods send, and nobody tells them, connections
open and short answers arrive; model files and long prompts hang, on every second flow.
"""

from collections import Counter
from collections.abc import Sequence

from fixtures.datagrams import ANSWERED, TOO_LONG, Datagrams, Outcome
from fixtures.fabric import Fabric
from fixtures.scratch import Scratch
from hotfire import Evidence, Level, requirement
from hotfire.errors import HarnessError

pytestmark = requirement(
    "NET-006",
    Level.MUST,
    __doc__,
    source="https://datatracker.ietf.org/doc/html/rfc8900#section-4",
)

# That all of so many flows miss one of two paths happens once in two billion times.
FLOWS = 32
SHORT_BYTES = 100
# The MTU of the link that leads everywhere else.
MTU = """
for line in open("/proc/net/route"):
    link, destination, *_ = line.split()
    if destination == "00000000":
        print(open(f"/sys/class/net/{link}/mtu").read())
        break
"""


def counted(outcomes: Sequence[Outcome]) -> dict[str, int]:
    return dict(Counter(each.word for each in outcomes))


def test_pod_mtu_passes_whole_on_every_path(
    fabric: Fabric, datagrams: Datagrams, scratch: Scratch, evidence: Evidence
) -> None:
    ways = fabric.ring
    addresses = datagrams.start({name: name for name in ways})
    mtu = {pod: int(scratch.exec(pod, ["python3", "-c", MTU])) for pod in ways}

    def sent(packet_bytes: int) -> dict[str, list[Outcome]]:
        """Return what became of packets of a size, or longer than the MTU by so much."""
        return {
            pod: datagrams.ask(
                pod,
                to=addresses[far],
                flows=FLOWS,
                packet_bytes=packet_bytes if packet_bytes > 1 else mtu[pod] + packet_bytes,
            )
            for pod, far in ways.items()
        }

    whole, longer, short = sent(0), sent(1), sent(SHORT_BYTES)
    evidence.record("mtu", mtu)
    evidence.record("of_mtu", {pod: counted(rows) for pod, rows in whole.items()})
    evidence.record("one_byte_longer", {pod: counted(rows) for pod, rows in longer.items()})
    evidence.record("short", {pod: counted(rows) for pod, rows in short.items()})

    for pod, far in ways.items():
        if counted(short[pod]) != {ANSWERED: FLOWS}:
            raise HarnessError(f"{pod} to {far}: of short packets {counted(short[pod])}")
        assert counted(whole[pod]) == {ANSWERED: FLOWS}, (
            f"{pod} to {far} and back, {FLOWS} flows of {mtu[pod]} bytes: {counted(whole[pod])}"
        )
        # Negative control: a packet that is too long does not arrive, and its sender is told.
        if counted(longer[pod]) != {TOO_LONG: FLOWS}:
            raise HarnessError(f"{pod} to {far}: of one byte more {counted(longer[pod])}")
