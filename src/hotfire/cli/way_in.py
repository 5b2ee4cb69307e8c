"""What the gateway wants to see is read before anything is recorded or begun."""

from hotfire.access import Access
from hotfire.cluster import Cluster, lend_secrets
from hotfire.errors import ClusterError, ProfileError
from hotfire.patience import Tell
from hotfire.profile import TargetProfile
from hotfire.reference import in_cluster, names_in


def open_way_in(profile: TargetProfile, say: Tell) -> None:
    """Read the secrets and files that the gateway's fields name, for us and those we start.

    The cluster is asked only where a Kubernetes Secret is among them.

    Raises:
        ProfileError: one cannot be read; the message names it, and the remedy.
    """
    names = names_in(profile.gateway.shown_headers.values())
    if any(map(in_cluster, names)):
        try:
            lend_secrets(profile.gateway, Cluster.connect(profile, tell=say))
        except ClusterError as error:
            raise ProfileError(f"gateway: its Secret cannot be read: {error}") from error
    Access.to(profile.gateway)
