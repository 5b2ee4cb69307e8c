"""``hotfire heal``, and what a run does about leftovers."""

from collections.abc import Callable, Iterable
from pathlib import Path

import typer

from hotfire.chaos.heal import Healed, open_entries
from hotfire.chaos.heal import heal as undo_everything
from hotfire.chaos.tenure import refuse_occupied
from hotfire.cluster import Cluster
from hotfire.doctor.examine import unreached
from hotfire.errors import ClusterError, ProfileError, RollbackFailed
from hotfire.lab import default_target, ensure_up
from hotfire.own_folders import runs_folder
from hotfire.profile import TargetProfile
from hotfire.shown import shown

Say = Callable[[str], None]


def heal(target: Path | None, *, now: bool, keep_stack: bool = False) -> int:
    """Heal a target and say what was undone; a standing lab is the default target.

    Raises:
        ProfileError: there is no such target.
        RollbackFailed: something is still broken.
    """
    path = target or default_target()
    if not path.exists():
        raise ProfileError(
            f"{path}: no such target file"
            if target
            else "no lab is up, so nothing of it can be broken; name another target by --target"
        )
    profile = TargetProfile.read(path)
    refuse_unreachable(profile)

    def say(line: str) -> None:
        typer.echo(shown(line))

    done = undo_everything(
        profile, now=now, runs=runs_folder(), keep_namespaces=keep_stack, say=say
    )
    _tell(done, say)
    if not done:
        typer.echo("nothing to heal")
    return 0


def target_or_lab(target: Path | None, say: Say) -> Path:
    """Return the target file, bringing the lab up when none was named."""
    return (target or ensure_up(say)).resolve()


def refuse_unreachable(profile: TargetProfile) -> None:
    """Refuse a target file that leads to no cluster, before anything is recorded.

    Raises:
        ProfileError: its kubeconfig cannot be used, or nobody answers there.
    """
    try:
        Cluster.connect(profile, tell=typer.echo)
    except ClusterError as error:
        raise ProfileError(f"kubeconfig: {error}; {unreached(error).remedy}") from error


def refuse_leftovers(profile: TargetProfile, say: Say = lambda _: None) -> None:
    """Refuse to touch a target that another run has, or that an earlier one left broken.

    Raises:
        ProfileError: nobody answers there, a run is alive, a name of ours is somebody else's, or
            there are open undo entries.
    """
    refuse_unreachable(profile)
    refuse_occupied(Cluster.connect(profile, tell=say), profile, say=say)
    left = open_entries(profile, runs=runs_folder(), tell=say)
    if left:
        faults = ", ".join(sorted({entry.fault for entry in left}))
        raise ProfileError(
            f"an earlier run left {profile.name} broken ({faults}): run `hotfire heal` first"
        )


def heal_leftovers(profile: TargetProfile, say: Say, *, keep_stack: bool = False) -> None:
    """Heal what a run that ended badly left open; its own Lease it gave back, or it is dead.

    Raises:
        HarnessError: another run, which is alive, has the cluster by now.
        RollbackFailed: something is still broken.
    """
    done = undo_everything(
        profile, now=False, runs=runs_folder(), keep_namespaces=keep_stack, say=say
    )
    _tell(done, say)


def _tell(done: Iterable[Healed], say: Say) -> None:
    done = list(done)
    for one in done:
        say(f"{'healed' if one.verified else 'NOT healed'}: {one.fault}: {one.detail}")
    if broken := [one for one in done if not one.verified]:
        names = ", ".join(one.entry_id for one in broken)
        raise RollbackFailed(f"still broken: {names}; see the lines above, then `hotfire heal`")
