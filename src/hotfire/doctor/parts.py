"""Parts of an application beside the engines, as the target file names them by labels."""

from collections.abc import Iterator, Mapping
from typing import Any

from hotfire.doctor.finding import Finding, Mark
from hotfire.doctor.site import Site
from hotfire.pod_roles import Selector


def without_pods(site: Site, section: str, parts: Mapping[Any, Selector]) -> Iterator[Finding]:
    """Yield the parts of a section whose labels no pod has."""
    for part, selector in parts.items():
        if not site.cluster.pods(site.profile.namespace, selector):
            seen = f"{section}.parts.{part} {selector} takes no pod in {site.profile.namespace}"
            remedy = "set it to the labels of its pods, or remove it"
            yield Finding(mark=Mark.LACKING, about=section, seen=seen, remedy=remedy)
