"""What the doctor calls impossible is refused before a run records or begins anything."""

from collections.abc import Callable, Iterator
from pathlib import Path

import hotfire
from hotfire.cluster import Cluster
from hotfire.doctor import access, engines, gateway
from hotfire.doctor.finding import Finding, Mark
from hotfire.doctor.permissions import Permissions
from hotfire.doctor.site import Site
from hotfire.errors import ProfileError
from hotfire.own_folders import project_root
from hotfire.profile import TargetProfile

Say = Callable[[str], None]


def refuse_impossible(profile: TargetProfile, say: Say) -> None:
    """Say each thing that lets nobody judge the target, with its remedy, and refuse it.

    What the target itself does wrong is no such thing: the checks judge it. What lets only some
    requirements go is theirs to tell, by name.

    Raises:
        ProfileError: there is such a thing.
    """
    found = [*_found(profile, Cluster.connect(profile, tell=say))]
    wrong = [one for one in found if one.mark is Mark.IMPOSSIBLE and not one.of_target]
    if not wrong:
        return
    # A Gateway without an address is why nothing answers, if nothing does.
    causes = [one for one in found if one.mark is Mark.LACKING and one.about == gateway.ABOUT]
    for one in (*causes, *wrong):
        say(one.told())
    raise ProfileError(
        f"{profile.name}: nothing can be judged before the lines marked `no` are mended;"
        " `hotfire doctor` shows the whole"
    )


def _found(profile: TargetProfile, cluster: Cluster) -> Iterator[Finding]:
    reader = Permissions(project_root(), Path(hotfire.__file__).parent, profile)
    site = Site(profile=profile, cluster=cluster, units={}, every_run=reader.of_every_run())
    yield from access.permissions(site)
    if not profile.stack.deploy:
        yield from engines.missing(site)
        yield from gateway.gateway(site, within_seconds=profile.waits.route_live_seconds)
