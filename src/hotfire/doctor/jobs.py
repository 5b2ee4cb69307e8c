"""What the target file says of queued jobs, held against the cluster."""

from collections.abc import Iterator
from typing import Final

from hotfire.doctor.finding import Finding, Mark
from hotfire.doctor.parts import without_pods
from hotfire.doctor.site import Site

CLAIM: Final = "batch-jobs"


def jobs(site: Site) -> Iterator[Finding]:
    """Yield that jobs are claimed and not told of, and parts that are not named or have no pod."""
    declared, ids = site.profile.jobs, site.ids(lambda unit, _: CLAIM in unit.features)
    if CLAIM not in site.profile.claims:
        return
    if declared is None:
        seen = f"{CLAIM} is claimed, and the target file has no section jobs"
        remedy = "add it, with the labels of the parts' pods"
        yield Finding(mark=Mark.LACKING, about="jobs", seen=seen, remedy=remedy, ids=ids)
        return
    for part in ("api", "worker", "queue"):
        selector = declared.parts.get(part)
        if selector is None:
            seen, remedy = f"jobs.parts.{part} is not set", "set it to the labels of its pods"
            yield Finding(mark=Mark.LACKING, about="jobs", seen=seen, remedy=remedy)
        else:
            yield from without_pods(site, "jobs", {part: selector})
