"""What the target file says of the platform beside its engines, held against the cluster."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from hotfire.discovery.hardware import extended
from hotfire.doctor.finding import Finding, Mark, fine, in_short
from hotfire.doctor.site import Site
from hotfire.errors import HarnessError
from hotfire.prometheus import Prometheus

_APPS: Final = "apps/v1"
_RACKS: Final = 2
_ASK_SECONDS: Final = 3.0


def nodes(site: Site) -> Iterator[Finding]:
    """Yield what is wrong with labels, resource and racks of the accelerator nodes."""
    profile = site.profile.accelerator
    labelled = [
        node for node in site.hardware.nodes if profile.node_selector.items() <= node.labels.items()
    ]
    ids = site.reading("node_selector")
    if not labelled:
        key = site.hardware.node_selector(profile.resource)
        yield Finding(
            mark=Mark.LACKING,
            about="nodes",
            seen=f"no node has {profile.node_selector}",
            remedy=f"set accelerator.node_selector to {key.value}",
            ids=ids,
        )
        return
    offering = [node for node in labelled if profile.resource in extended(node.capacity)]
    if not offering:
        offered = ", ".join(site.hardware.offered) or "none"
        yield Finding(
            mark=Mark.LACKING,
            about="nodes",
            seen=f"none of {len(labelled)} accelerator nodes offers {profile.resource}",
            remedy=f"set accelerator.resource; offered: {offered}",
            ids=ids,
        )
        return
    some = f", of which checks probe {profile.probed_nodes} (accelerator.probed_nodes)"
    sampled = some if len(labelled) > profile.probed_nodes else ""
    yield fine("nodes", f"{len(offering)} offer {profile.resource}{sampled}")
    label = site.profile.fabric.rack_label
    racks = {node.labels[label] for node in labelled if label in node.labels}
    if len(racks) < _RACKS:
        yield Finding(
            mark=Mark.LACKING,
            about="racks",
            seen=f"label {label} names {len(racks)} racks",
            remedy="set fabric.rack_label to the label that names them",
            ids=site.reading("rack_label"),
        )


def components(site: Site) -> Iterator[Finding]:
    """Yield parts that faults take away, and that are not named, not there or not allowed."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for unit in site.units:
        role = getattr(unit.fault.targets, "role", None) if unit.fault else None
        if role:
            wanted[role].add(unit.id)
    for role, ids in wanted.items():
        place = site.profile.components.get(role)  # type: ignore[call-overload]
        if place is None:
            seen, remedy = "is not named", f"set components.{role} (hotfire init guesses it)"
        elif place.namespace not in site.profile.allowed_namespaces:
            seen, remedy = f"is in {place.namespace}", "add that to allowed_namespaces"
        elif site.eyes.get(place.kind, place.namespace, place.name, api_version=_APPS) is None:
            where = f"{place.namespace}/{place.name}"
            seen, remedy = f"is not there: {place.kind} {where}", f"set components.{role}"
        else:
            continue
        yield Finding(mark=Mark.LACKING, about=role, seen=seen, remedy=remedy, ids=frozenset(ids))


def roles(site: Site) -> Iterator[Finding]:
    """Yield roles whose selector takes no pod."""
    for role, selector in site.profile.stack.roles.items():
        if role != "engine" and not site.cluster.pods(site.profile.namespace, selector):
            yield Finding(
                mark=Mark.LACKING,
                about=role,
                seen=f"stack.roles.{role} {selector} takes no pod in {site.profile.namespace}",
                remedy="set it to the labels of its pods, or remove it",
            )


def prometheus(site: Site) -> Iterator[Finding]:
    """Yield whether Prometheus answers us."""
    url, ids = site.profile.prometheus_url, site.using("prometheus")
    if url is None:
        yield Finding(
            mark=Mark.NOTE,
            about="prometheus",
            seen="prometheus_url is not set",
            remedy="set it to what this machine reaches",
            ids=ids,
        )
        return
    try:
        series = Prometheus(url, within_seconds=_ASK_SECONDS).query("up")
    except HarnessError as error:
        yield Finding(
            mark=Mark.LACKING,
            about="prometheus",
            seen=str(error),
            remedy="set prometheus_url to what this machine reaches (kubectl port-forward)",
            ids=ids,
        )
        return
    yield fine("prometheus", f"scrapes {len(series)} targets")


def agent_image(site: Site) -> Iterator[Finding]:
    """Yield whether some node has the image that carries our code."""
    image = site.profile.images.python
    for name, node in site.hardware.images.items():
        if _names(image, name):
            yield fine("image", f"{image} is on {node}")
            return
    yield Finding(
        mark=Mark.NOTE,
        about="image",
        seen=f"{image} is on no node that we see",
        remedy="nodes must be able to pull it; else set images.python to a mirror's",
        ids=site.using("agent"),
    )


def claims(site: Site) -> Iterator[Finding]:
    """Yield in one line what is not claimed, with what is not-applicable for it."""
    left: dict[str, set[str]] = defaultdict(set)
    for unit in site.units:
        for feature in unit.features - site.profile.claims:
            left[feature].add(unit.id)
    if left:
        words = "; ".join(f"{name} ({in_short(ids)})" for name, ids in sorted(left.items()))
        remedy = "add to claims what it has"
        yield Finding(mark=Mark.NOTE, about="claims", seen=f"not claimed: {words}", remedy=remedy)
    if "redundant-uplinks" in site.profile.claims and not site.profile.fabric.uplinks:
        yield Finding(
            mark=Mark.LACKING,
            about="fabric",
            seen="redundant-uplinks is claimed, and fabric.uplinks names none",
            remedy="set it to the interfaces of each node, e.g. [eth0, eth1]",
            ids=site.reading("uplinks"),
        )


def _names(image: str, name: str) -> bool:
    return name == image or name.endswith(f"/{image}") or image.endswith(f"/{name}")
