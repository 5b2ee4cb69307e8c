"""What says how many engines there are to be: whatever owns their pods, of whatever kind.

Only what nobody owns is written: a controller puts back what anybody else writes below it. It is
scaled by its ``scale`` subresource where it has one, else by the field that is known of its kind.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hotfire.cluster.calls import Document
from hotfire.cluster.objects import Pod
from hotfire.cluster.owners import Owner, chain
from hotfire.cluster.scalable import KINDS, SCALE, Kind, scaled_to
from hotfire.cluster.view import ClusterView
from hotfire.errors import HarnessError


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicated:
    """The object that says how many engines there are to be, as it was read."""

    document: Document
    kind: Kind
    part: str
    """Which of its parts makes the engines; empty: it has one."""
    pod_spec: Document
    """Of its pods, as their nearest template has it; without one, of a pod."""
    owners: tuple[Owner, ...] = ()
    """Whom the pods belong to, the nearest first; the last one is this."""
    scale: int | None = None
    """How many there are to be by its ``scale`` subresource; None: it has none for its pods."""

    def __str__(self) -> str:
        part = f", {self.part}" if self.part else ""
        return f"{self.owner}{part}"

    @property
    def owner(self) -> Owner:
        """What its pods belong to in the end."""
        return Owner.of(self.document)

    @property
    def namespace(self) -> str:
        return str(self.document["metadata"]["namespace"])

    @property
    def resource(self) -> str:
        """What is written to have another number of them, as paths name it."""
        plural = self.kind.resource
        return plural if self.scale is None else f"{plural}/{SCALE}"

    @property
    def replicas(self) -> int:
        """How many there are to be."""
        if self.scale is not None:
            return self.scale
        found = self.said(self.kind.replicas)
        return 1 if found is None else int(found)

    def said(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """Return what stands at a path of ``kind``; None where nothing does."""
        value = self.document.get("spec")
        for step in self._steps(path):
            value = next(_below(value, step), None)
        return value

    def with_replicas(self, count: int) -> object:
        """Return what is to be written for so many.

        That is the number for ``scale``, else the value of the first field of ``kind.replicas``.
        """
        if self.scale is not None:
            return count
        steps = self._steps(self.kind.replicas)
        return _changed(self.document.get("spec"), steps, count)[steps[0]]

    def restarted(self, annotations: Mapping[str, str]) -> Document:
        """Return a merge-patch that replaces its pods, as its own strategy says.

        Raises:
            HarnessError: it has no template of which that is known.
        """
        if not self.kind.template:
            raise HarnessError(
                f"the engines are those of {self}: how its pods are replaced in turn is not known"
                " here; an update of it has to be tried by hand"
            )
        steps = self._steps(f"{self.kind.template}.metadata.annotations")
        return {"spec": _changed({}, steps, dict(annotations))}

    def _steps(self, path: str) -> list[str]:
        return [
            self.part if step == "*" else f"{step[:-1]}={self.part}]" if step[0] == "[" else step
            for step in path.split(".")
        ]

    @classmethod
    def of(cls, document: Document) -> "Replicated":
        """Return an object that was written here, such as a Deployment of ours."""
        kind = next(one for one in KINDS if one.kind == document["kind"])
        spec = document["spec"]["template"]["spec"]
        return cls(document=document, kind=kind, part="", pod_spec=spec)


def replicated(cluster: ClusterView, pod: Document) -> Replicated:
    """Return what says how many pods like this one there are to be.

    Raises:
        HarnessError: nothing does, or we do not know how it is told.
    """
    engine = Pod.parse(pod)
    owners = _owners(cluster, pod, engine)
    if not owners:
        raise HarnessError(f"pod {engine.name} belongs to nothing: no controller makes another one")
    owner, top = owners[-1]
    if top is None:
        raise HarnessError(
            f"{owner}, to which pod {engine.name} belongs, is not there or not served"
        )
    kind = _kind(cluster, owner)
    if kind is None:
        raise HarnessError(_unknown(engine.name, [one for one, _ in owners]))
    found = Replicated(
        document=top,
        kind=kind,
        part=engine.labels.get(kind.part_label, ""),
        pod_spec=_pod_spec(pod, [one for _, one in owners if one]),
        owners=tuple(one for one, _ in owners),
    )
    _require_counted(found, engine)
    if not kind.replicas:
        _require_selected(cluster, found, engine)
    return as_scaled(cluster, found)


def _owners(
    cluster: ClusterView, pod: Document, engine: Pod
) -> list[tuple[Owner, Document | None]]:
    """Return whom a pod belongs to, the nearest first, and each of them as it is."""

    def read(owner: Owner) -> Document | None:
        if not cluster.serves(owner.kind, owner.api_version):
            return None
        return cluster.get(owner.kind, engine.namespace, owner.name, api_version=owner.api_version)

    return list(chain(pod, read))


def as_scaled(cluster: ClusterView, engines: Replicated) -> Replicated:
    """Return it with what its ``scale`` subresource says now, where that is of all its pods.

    Raises:
        HarnessError: it is gone.
    """
    if engines.kind.part_label or not _has_scale(cluster, engines.owner):
        return engines
    return replace(engines, scale=scaled_to(_scale(cluster, engines)))


def _has_scale(cluster: ClusterView, owner: Owner) -> bool:
    return cluster.serves(owner.kind, owner.api_version, subresource=SCALE)


def _scale(cluster: ClusterView, engines: Replicated) -> Document:
    owner = engines.owner
    version = owner.api_version
    scale = cluster.get(
        owner.kind, engines.namespace, owner.name, api_version=version, subresource=SCALE
    )
    if scale is None:
        raise HarnessError(f"{engines}, which makes the engines, is gone")
    return scale


def _kind(cluster: ClusterView, owner: Owner) -> Kind | None:
    """Return how a kind tells its replicas; None: nobody knows."""
    group = owner.api_version.rpartition("/")[0]
    for one in KINDS:
        if (one.kind, one.group) == (owner.kind, group):
            return one
    if not group or not _has_scale(cluster, owner):
        return None
    resource = cluster.plural(owner.kind, owner.api_version)
    return Kind(kind=owner.kind, group=group, resource=resource, replicas="")


def _unknown(pod: str, owners: list[Owner]) -> str:
    """Return why nobody can scale what a pod belongs to in the end."""
    *below, owner = owners
    known = ", ".join(one.kind for one in KINDS)
    kept = f"; what it owns, {below[-1]}, is not written: it would put that back" if below else ""
    return (
        f"pod {pod} belongs to {owner} of {owner.api_version}, and how that tells its replicas is"
        f" not known here: it has no scale subresource, and is none of {known}{kept}"
    )


def _require_selected(cluster: ClusterView, engines: Replicated, pod: Pod) -> None:
    """Make sure that a pod is one of those that a ``scale`` of an unknown kind counts."""
    selector = (_scale(cluster, engines).get("status") or {}).get("selector")
    if not selector:
        raise HarnessError(
            f"the scale subresource of {engines} names no pods (status.selector; a CRD's"
            f" labelSelectorPath), so that it may count others than pod {pod.name}"
        )
    if pod.uid not in {one.uid for one in cluster.pods(engines.namespace, selector)}:
        raise HarnessError(
            f"the scale subresource of {engines} counts pods with {selector}, and pod {pod.name} is"
            " none of them; narrow engine.selector"
        )


def _require_counted(found: Replicated, pod: Pod) -> None:
    """Make sure that a pod is one of those whose number stands there, and stays there."""
    kind, name = found.kind, pod.name
    if kind.others and kind.others.items() <= pod.labels.items():
        raise HarnessError(
            f"pod {name} is labelled {dict(kind.others)}, and the replicas of {found} are others;"
            " narrow engine.selector"
        )
    has_part = found.part and found.said(kind.replicas.rpartition(".")[0]) is not None
    if kind.part_label and not has_part:
        raise HarnessError(
            f"pod {name}: its label {kind.part_label}={found.part} names no part of"
            f" {found.owner} that has replicas of its own"
        )
    if kind.decided_by and found.said(kind.decided_by):
        raise HarnessError(
            f"spec.{kind.decided_by} of {found} hands its replicas over to an autoscaler, which"
            " would put back what a check writes"
        )


def _pod_spec(pod: Document, owners: list[Document]) -> Document:
    templates = ((one.get("spec") or {}).get("template") or {} for one in owners)
    specs = (one.get("spec") for one in templates if isinstance(one, dict))
    found: Document | None = next((one for one in specs if one and one.get("containers")), None)
    return found or pod["spec"]


def _below(value: Any, step: str) -> Iterator[Any]:  # noqa: ANN401 - JSON
    if step[0] == "[" and isinstance(value, list):
        key, _, name = step[1:-1].partition("=")
        yield from (one for one in value if one.get(key) == name)
    elif isinstance(value, dict) and step in value:
        yield value[step]


def _changed(value: Any, steps: list[str], new: object) -> Any:  # noqa: ANN401 - JSON
    """Return a merge-patch that puts something at a path; a list on the way is written whole."""
    if not steps:
        return new
    step, *rest = steps
    if step[0] != "[":
        return {step: _changed(next(_below(value, step), None), rest, new)}
    chosen = next(_below(value, step))
    return [{**one, **_changed(one, rest, new)} if one is chosen else one for one in value]
