"""What the target file says of prefill and decode pods, held against what it claims of them."""

from collections.abc import Iterator
from typing import Final

from hotfire.doctor.finding import Finding, Mark
from hotfire.doctor.site import Site
from hotfire.pod_roles import PodRole

_CLAIM: Final = "disaggregation"
_ADMISSION: Final = "prefill-admission"
_ROLES: Final[tuple[PodRole, ...]] = ("prefill", "decode")


def disaggregation(site: Site) -> Iterator[Finding]:
    """Yield roles that are not told, and a ratio that is claimed and not told."""
    profile = site.profile
    if _CLAIM in profile.claims:
        for role in _ROLES:
            if role not in profile.stack.roles:
                seen = f"{_CLAIM} is claimed, and stack.roles.{role} is not set"
                yield _lacking(site, _CLAIM, seen, "set it to the labels of its pods")
    if _ADMISSION in profile.claims and profile.disaggregation.prefills_per_decode is None:
        seen = f"{_ADMISSION} is claimed"
        remedy = "set disaggregation.prefills_per_decode to the ratio that its router keeps"
        yield _lacking(site, _ADMISSION, seen, remedy)


def _lacking(site: Site, claim: str, seen: str, remedy: str) -> Finding:
    ids = site.ids(lambda unit, _: claim in unit.features)
    return Finding(mark=Mark.LACKING, about="pools", seen=seen, remedy=remedy, ids=ids)
