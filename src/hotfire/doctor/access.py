"""What we may do, as the API server itself says it."""

from collections.abc import Iterator

from hotfire.cluster import Cluster
from hotfire.doctor.asked import Need
from hotfire.doctor.finding import Finding, Mark, fine
from hotfire.doctor.roles import everywhere, inside
from hotfire.doctor.site import Site
from hotfire.errors import ClusterError

_NAMED = 3


def permissions(site: Site) -> Iterator[Finding]:
    """Yield what we may not do of what the requirements need, in one line."""
    every = site.every_run.api
    needs = every.union(*(one.api for one in site.units.values()))
    missing = {need: "" for need in everywhere(needs) if not may(site.cluster, need)}
    for namespace in dict.fromkeys((site.profile.namespace, *site.profile.allowed_namespaces)):
        local = inside(needs, site.profile, namespace)
        refused = (need for need in local if not may(site.cluster, need, namespace))
        missing |= dict.fromkeys(refused, namespace)
    if not missing:
        yield fine("permissions", f"all {len(needs)} that the requirements need")
        return
    basic = any(_same(need, other) for need in missing for other in every)
    words = sorted(_in_words(need, namespace) for need, namespace in missing.items())
    more = f" and {len(words) - _NAMED} more" if len(words) > _NAMED else ""
    yield Finding(
        mark=Mark.IMPOSSIBLE if basic else Mark.LACKING,
        about="permissions",
        seen=f"you may not {', '.join(words[:_NAMED])}{more}",
        remedy="whoever may runs `hotfire doctor --rbac | kubectl apply -f -`",
        ids=frozenset()
        if basic
        else site.ids(lambda _, one: any(_same(m, n) for m in missing for n in one.api)),
    )


def may(cluster: Cluster, need: Need, namespace: str = "") -> bool:
    """Return whether we may do it in a namespace; in none: everywhere."""
    try:
        return cluster.allows(need.verb, need.resource, group=need.group, namespace=namespace)
    except ClusterError:
        return False


def _same(one: Need, other: Need) -> bool:
    return (one.group, one.resource, one.verb) == (other.group, other.resource, other.verb)


def _in_words(need: Need, namespace: str) -> str:
    place = f" in {namespace}" if namespace else ""
    return f"{need.verb} {need.resource}{place}"
