"""``hotfire doctor``: what a target lacks, in one screen, and the Roles that a run needs."""

from contextlib import suppress
from pathlib import Path

import typer
import yaml
from rich.text import Text

import hotfire
from hotfire import yaml_text
from hotfire.chaos.fault import Fault
from hotfire.cli.catalogue import CatalogueEntry, entries
from hotfire.cli.way_in import open_way_in
from hotfire.cluster import Cluster
from hotfire.doctor.asked import Need
from hotfire.doctor.examine import examine, unreached
from hotfire.doctor.finding import Finding, Mark
from hotfire.doctor.owners import with_owners
from hotfire.doctor.permissions import Needs, Permissions, Unit
from hotfire.doctor.roles import roles
from hotfire.doctor.site import Site
from hotfire.errors import ClusterError, ProfileError
from hotfire.lab import default_target
from hotfire.own_folders import project_root
from hotfire.profile import TargetProfile
from hotfire.requirement import Scope
from hotfire.terminal import Terminal

_PATIENCE_SECONDS = 5.0
_GOOD = (Mark.FINE, Mark.NOTE)


def doctor(target: Path | None, *, rbac: bool, scope: str) -> int:
    """Examine a target, or print the Roles that a run of the scope needs.

    Returns:
        0 where nothing is missing, 2 where something is.

    Raises:
        ProfileError: there is no such target file.
    """
    profile = _profile(target)
    root = project_root()
    permissions = Permissions(root, Path(hotfire.__file__).parent, profile)
    if rbac:
        units, unseen = _needs_here(profile, _needs(permissions, root, scope))
        needs = permissions.of_every_run().api.union(*(one.api for one in units.values()))
        _print_roles(needs, profile, scope, unseen)
        return 0
    found, count = _examined(profile, permissions, root, scope)
    console = Terminal(highlight=False)
    for one in found:
        console.print(Text(one.told()), soft_wrap=True)
    bad = [one for one in found if one.mark not in _GOOD]
    console.print(Text(_summary(profile, bad, count)), soft_wrap=True)
    return 2 if bad else 0


def _profile(target: Path | None) -> TargetProfile:
    path = target or default_target()
    if target is None and not path.exists():
        raise ProfileError("no lab stands: name a target by --target FILE")
    profile = TargetProfile.read(path)
    # Nobody waits a minute for a doctor.
    waits = profile.waits.model_copy(update={"api_outage_seconds": _PATIENCE_SECONDS})
    return profile.model_copy(update={"waits": waits})


def _needs(permissions: Permissions, root: Path, scope: str) -> dict[Unit, Needs]:
    """Return what each requirement and fault of a scope needs."""
    chosen = [one for one in entries(root) if Scope(scope).holds(one.requirement.scope)]
    units = [unit(one, root) for one in chosen]
    return {unit: permissions.of(unit) for unit in units}


def _needs_here(profile: TargetProfile, units: dict[Unit, Needs]) -> tuple[dict[Unit, Needs], str]:
    """Return what units need of this very cluster, and why nobody could look, if so."""
    try:
        return with_owners(units, Cluster.connect(profile), profile), ""
    except ClusterError as error:
        return units, " ".join(str(error).split())


def unit(entry: CatalogueEntry, root: Path) -> Unit:
    fault = None
    if entry.kind == "fault":
        document = yaml_text.read((root / entry.path).read_text(encoding="utf-8"))
        blocks = document["extensions"]
        fault = Fault.model_validate(next(one for one in blocks if one["name"] == "hotfire"))
    claim = entry.requirement
    return Unit(id=claim.id, features=claim.features, path=entry.path, fault=fault)


def _examined(
    profile: TargetProfile, permissions: Permissions, root: Path, scope: str
) -> tuple[list[Finding], int]:
    """Return what was found, and for how many units; who is not reached needs no reading for."""
    try:
        cluster = Cluster.connect(profile, tell=typer.echo)
    except ClusterError as error:
        return [unreached(error)], 0
    try:
        open_way_in(profile, typer.echo)
    except ProfileError as error:
        said = Finding(mark=Mark.IMPOSSIBLE, about="target file", seen=str(error))
        return [said], 0
    units, every_run = _needs(permissions, root, scope), permissions.of_every_run()
    with suppress(ClusterError):  # What may not be read is told below.
        units = with_owners(units, cluster, profile)
    site = Site(profile=profile, cluster=cluster, units=units, every_run=every_run)
    return examine(site), len(units)


def _print_roles(needs: frozenset[Need], profile: TargetProfile, scope: str, unseen: str) -> None:
    typer.echo(f"# What `hotfire certify --scope {scope}` of {profile.name} needs, read from the")
    typer.echo("# checks and faults themselves. Namespaces of a run's own cannot be named before,")
    typer.echo("# so that what happens there is in the ClusterRole.")
    if unseen:
        typer.echo("# Nobody could look what the engines belong to: if to a kind that hotfire does")
        typer.echo(f"# not know, the rights to read and scale that are missing ({unseen[:200]}).")
    typer.echo(
        yaml.safe_dump_all(
            roles(needs, profile), sort_keys=False, default_flow_style=None, width=110
        ),
        nl=False,
    )


def _summary(profile: TargetProfile, bad: list[Finding], count: int) -> str:
    if any(one.mark is Mark.IMPOSSIBLE for one in bad):
        return f"{profile.name}: nothing can be judged before the lines marked `no` are mended"
    kept = frozenset().union(*(one.ids for one in bad))
    if kept:
        return f"{profile.name}: {len(kept)} of {count} requirements would be inconclusive"
    return f"{profile.name}: nothing is missing for {count} requirements"
