"""A run's tenure of a cluster: its system namespace and its Lease, from first write to last."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hotfire.chaos.holders import holder, is_alive, others, remove_dead
from hotfire.chaos.lease import RunLease
from hotfire.cluster import Cluster, Estate, refuse_foreign_system
from hotfire.errors import ProfileError
from hotfire.profile import TargetProfile
from hotfire.rundir import RunDirectory

JOURNAL: Final = "journals/made.jsonl"
"""Where below its run directory a run records what it made."""


def estate_of(cluster: Cluster, profile: TargetProfile, run: RunDirectory) -> Estate:
    """Return what a run of this target makes, recorded in the cluster and in its directory."""
    return estate(cluster, profile, run_id=run.info().run_id, journal=run.path(JOURNAL))


def estate(
    cluster: Cluster, profile: TargetProfile, *, run_id: str, journal: Path | None = None
) -> Estate:
    """Return what runs of this target make in a cluster."""
    return Estate(cluster, profile.system_namespace, run_id=run_id, journal=journal)


@contextmanager
def tenure(
    cluster: Cluster, profile: TargetProfile, run: RunDirectory, *, on_lost: Callable[[], None]
) -> Iterator[RunLease]:
    """Have the cluster for the length of a block; no other run has it meanwhile.

    The system namespace is made for it where there is none, and goes with it unless something in
    there is still needed. Whoever lost the Lease leaves everything to its new holder.

    Raises:
        ProfileError: the system namespace is there and is not hotfire's.
        HarnessError: another run holds the cluster.
    """
    belongings = estate_of(cluster, profile, run)
    belongings.open()
    with RunLease(
        cluster,
        profile.system_namespace,
        run_id=run.info().run_id,
        lease_seconds=profile.agent.lease_seconds,
        on_lost=on_lost,
        target=profile.name,
    ) as lease:
        try:
            yield lease
        finally:
            lease.end_watch()
            # Before the Lease is given back: nobody can take it in a namespace that is ending.
            if not lease.lost:
                belongings.close()


def refuse_occupied(
    cluster: Cluster, profile: TargetProfile, *, say: Callable[[str], None] = lambda _: None
) -> None:
    """Refuse to begin where another run is alive, or where a name of ours is taken.

    Nothing is made; whether a name is still free shows again when it is used. Whoever holds the
    cluster from another machine is watched for as long as its lease, of which ``say`` is told.

    Raises:
        ProfileError: the message names the field, or the run and since when it has the cluster.
    """
    refuse_foreign_system(cluster, profile.system_namespace)
    if profile.stack.deploy:
        estate(cluster, profile, run_id="").mine("Namespace", profile.namespace)
    own = holder(cluster, profile.system_namespace)
    for held in [*([own] if own else []), *others(cluster, profile.system_namespace)]:
        say(f"looking whether {held} is alive: {held.lease_seconds} s at most")
        if is_alive(cluster, held):
            way_out = ", or end it with `hotfire heal --now`" if held == own else ""
            raise ProfileError(f"{held} holds this cluster; wait for it{way_out}")
    if own:
        remove_dead(cluster, own)
