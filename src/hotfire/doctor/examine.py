"""The whole examination, from the API server on."""

from collections.abc import Callable, Iterator
from typing import Final

from hotfire.doctor import access, engines, gateway, platform
from hotfire.doctor.disaggregation import disaggregation
from hotfire.doctor.finding import Finding, Mark, fine
from hotfire.doctor.jobs import jobs
from hotfire.doctor.rag import rag
from hotfire.doctor.site import Site
from hotfire.errors import ClusterError

_LOOKS: Final[tuple[Callable[[Site], Iterator[Finding]], ...]] = (
    access.permissions,
    gateway.gateway,
    engines.engines,
    platform.nodes,
    platform.components,
    platform.roles,
    platform.prometheus,
    platform.agent_image,
    rag,
    disaggregation,
    jobs,
    platform.claims,
)


def examine(site: Site) -> list[Finding]:
    """Return everything that is to be said of a target whose API server answers."""
    found = [fine("API server", site.cluster.version())]
    for look in _LOOKS:
        try:
            found += look(site)
        except ClusterError as error:
            about = look.__name__.replace("_", " ")
            found.append(Finding(mark=Mark.LACKING, about=about, seen=str(error)))
    for what, why in sorted(site.eyes.unseen.items()):
        if not what.startswith("http:"):
            found.append(Finding(mark=Mark.NOTE, about="not seen", seen=f"{what}: {why}"))
    return found


def unreached(error: ClusterError) -> Finding:
    """Return why no API server answers, and what to do."""
    said = " ".join(str(error).split())
    remedy = "set kubeconfig and context to a cluster that answers"
    if "401" in said or "Unauthorized" in said:
        remedy = "the kubeconfig's token has expired or is unknown: log in again, or renew it"
    elif "certificate verify failed" in said:
        remedy = "set certificate-authority of that cluster in the kubeconfig to its own"
    elif "403" in said:
        remedy = "whoever may runs `hotfire doctor --rbac | kubectl apply -f -`"
    return Finding(mark=Mark.IMPOSSIBLE, about="API server", seen=said[:160], remedy=remedy)
