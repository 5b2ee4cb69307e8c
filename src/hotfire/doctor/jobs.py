"""What the target file says of queued jobs, held against the cluster."""

from collections.abc import Iterator
from typing import Final

from hotfire.doctor.finding import Finding, Mark
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
            yield _lacking(f"jobs.parts.{part} is not set", "set it to the labels of its pods")
        elif not site.cluster.pods(site.profile.namespace, selector):
            seen = f"jobs.parts.{part} {selector} takes no pod in {site.profile.namespace}"
            yield _lacking(seen, "set it to the labels of its pods, or remove it")


def _lacking(seen: str, remedy: str) -> Finding:
    return Finding(mark=Mark.LACKING, about="jobs", seen=seen, remedy=remedy)
