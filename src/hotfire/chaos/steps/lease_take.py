"""Takes a controller's Lease away from its leader, which must then end."""

import time
from typing import ClassVar, Final, Literal

from hotfire.chaos.plan import World
from hotfire.chaos.step import Fired, Life, Step
from hotfire.chaos.targets.leader import LEASES
from hotfire.chaos.undo import UndoEntry
from hotfire.chaos.written import Target
from hotfire.errors import FaultNotInjected, HarnessError

TAKER: Final = "hotfire"


class LeaseTake(Step):
    """Another holder's name in the Lease, whom nobody hears of again.

    A leader that cannot renew its Lease ends itself within its renewal deadline. The others wait
    until the Lease has expired, as after the loss of the leader's machine. It needs no agent at the
    control plane, which many platforms let nobody near.
    """

    word: Literal["lease-take"] = "lease-take"
    lives_on: ClassVar[Life] = "nowhere"

    def rehearse(self, world: World, target: Target) -> str:
        """Have the API server accept the write in a dry run."""
        _take(world, target, dry_run=True)
        return "the API server, in a dry run"

    def fire(self, world: World, entry: UndoEntry) -> Fired:
        """Write our name into it."""
        at_ns = time.time_ns()
        try:
            _take(world, entry.target)
        except HarnessError as error:
            raise FaultNotInjected(f"{entry.target} was not taken: {error}") from error
        return Fired("the API server accepted the write", at_ns)

    def end(self, world: World, entry: UndoEntry, *, within_seconds: float) -> str:
        """Leave the Lease to expire: nobody renews it."""
        del world, within_seconds
        return f"{entry.target} expires by itself"


def _take(world: World, target: Target, *, dry_run: bool = False) -> None:
    # With its uid: not a Lease that was made anew. Without its version, which changes all the time.
    body = {"metadata": {"uid": target.uid}, "spec": {"holderIdentity": TAKER}}
    world.cluster.patch(
        "Lease", target.namespace, target.name, body, api_version=LEASES, dry_run=dry_run
    )
