"""Certificates of servers on the path are renewed before they end.

A certificate works to its last second and then not at all: with that of the API server nobody
changes anything, with a webhook's no pod is admitted, with a kubelet's no log is read. What renews
them breaks unseen, long before: a certificate near its end has not been renewed, though everybody
is still served.
"""

from collections.abc import Iterable

from fixtures.certificates import DAY_SECONDS, Reader, Server, Shown
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.errors import HarnessError

pytestmark = requirement(
    "CLU-011",
    Level.SHOULD,
    __doc__,
    source="https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/",
    features={"renewed-certificates"},
)


def ending(shown: Iterable[Shown], floor_seconds: float) -> list[str]:
    """Return the servers whose certificate ends within so long, with the days that it has left."""
    return [
        f"{one.server}: {one.left_seconds / DAY_SECONDS:.1f} days left"
        for one in shown
        if one.left_seconds is not None and one.left_seconds < floor_seconds
    ]


def test_no_certificate_is_near_its_end(
    profile: TargetProfile, servers: list[Server], certificates: Reader, evidence: Evidence
) -> None:
    floor_seconds = profile.upkeep.certificate_life_seconds
    shown = certificates.read(servers)
    unread = {str(one.server): one.error for one in shown if one.left_seconds is None}
    near = ending(shown, floor_seconds)
    evidence.record("least_seconds", floor_seconds)
    evidence.record(
        "seconds_left",
        {str(one.server): round(one.left_seconds) for one in shown if one.left_seconds is not None},
    )
    evidence.record("unread", unread)
    evidence.record("near_their_end", near)

    assert not near, f"declared are {floor_seconds / DAY_SECONDS:g} days, and {'; '.join(near)}"
    check_control(certificates, floor_seconds, evidence)
    needed = [str(one.server) for one in shown if one.left_seconds is None and one.server.needed]
    if needed:
        raise HarnessError(
            f"what {needed[0]} shows could not be read from a pod ({unread[needed[0]]});"
            f" {len(needed)} such servers: let pods reach them"
        )


def check_control(certificates: Reader, floor_seconds: float, evidence: Evidence) -> None:
    """Negative control: one of ours that ends in a day is reported, read as the others were.

    Raises:
        HarnessError: it is not.
    """
    own = certificates.read([certificates.own])
    reported = ending(own, max(floor_seconds, 2 * DAY_SECONDS))
    evidence.record("control", reported)
    if not reported:
        raise HarnessError(f"a certificate that ends in a day goes unnoticed: {own[0].error}")
