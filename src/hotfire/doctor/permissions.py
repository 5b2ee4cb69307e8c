"""What a run needs to be allowed: that of every run, of its checks, and of its faults."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

from hotfire.chaos import janitor
from hotfire.chaos.fault import Fault
from hotfire.chaos.written import Target
from hotfire.doctor.asked import Asked, Need, Unknown, need
from hotfire.doctor.place import Where
from hotfire.doctor.source import Reach, Source
from hotfire.profile import TargetProfile

# A Secret that the gateway names is a Role of its own.
_LEAVES: Final = (
    *("hotfire.cluster.client", "hotfire.cluster.credentials", "hotfire.lab", "hotfire.cli"),
    "hotfire.agent.",
)
_EVERY_RUN: Final = (
    *("hotfire.chaos.heal", "hotfire.chaos.remains", "hotfire.chaos.tenure"),
    *("hotfire.chaos.lease", "hotfire.chaos.undo", "hotfire.cluster.estate"),
)
"""What a run does before its first case and after its last one."""
_FIXTURES: Final = ("connection", "lease")
_CONDUCT: Final = (
    *("hotfire.chaos.actions", "hotfire.chaos.probes", "hotfire.experiment.trial"),
    "hotfire.experiment.judgement",
)
_FAULTS: Final = "experiments.test_experiments"
_GROUPS: Final = "engine_groups"
_OF_GROUPS: Final = ("get", "list", "create", "patch", "delete")
"""What is asked about the resource that the target file names there."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Unit:
    """A check, by its file, or a fault, by its words."""

    id: str
    features: frozenset[str] = frozenset()
    path: Path
    """Below the root."""
    fault: Fault | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What one unit needs."""

    api: frozenset[Need]
    fixtures: frozenset[str]
    """Names of the fixtures that it asks for, in any way."""
    words: frozenset[str] = frozenset()
    """Names of the attributes that it reads, such as fields of the target file."""
    unknown: frozenset[Unknown] = frozenset()


class Permissions:
    """Reads needs from the source; a unit's are read once."""

    def __init__(self, root: Path, package: Path, profile: TargetProfile) -> None:
        self._source = Source(root, package)
        self._asked = Asked(self._source)
        self._root, self._profile = root, profile

    def of_every_run(self) -> Needs:
        """Return what is asked whichever units are chosen."""
        reach = self._reach()
        self._add(reach, _EVERY_RUN)
        reach.add_fixtures(_FIXTURES)
        found = self._needs(reach)
        if not self._profile.stack.deploy:
            return found
        return replace(found, api=found.api | set(self._stack()))

    def _stack(self) -> Iterator[Need]:
        """Yield what putting up the reference stack asks."""
        for path in sorted((self._root / "reference-stack").rglob("*.yaml")):
            for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
                if document and "kustomize" not in document["apiVersion"]:
                    kind = (document["apiVersion"], document["kind"])
                    yield from (need(*kind, verb) for verb in ("get", "create", "patch", "delete"))

    def of(self, unit: Unit) -> Needs:
        """Return what a check or a fault asks."""
        janitor_too = unit.fault is not None and unit.fault.needs_janitor
        reach = self._reach(() if janitor_too else ("hotfire.chaos.janitor",))
        if unit.fault is None:
            self._add(reach, [".".join(unit.path.with_suffix("").parts)])
            return self._needs(reach)
        self._add(reach, [_FAULTS, *_CONDUCT, *_words(unit.fault)])
        found = self._needs(reach)
        return replace(found, api=found.api | set(self._undo(unit.fault)))

    def _reach(self, unused: tuple[str, ...] = ()) -> Reach:
        pods = () if self._profile.load.pods else ("hotfire.traffic.runner.pods",)
        return Reach(self._source, (*_LEAVES, *pods, *unused))

    def _add(self, reach: Reach, names: Iterable[str]) -> None:
        for name in names:
            module = self._source.module(name)
            if module is not None:
                reach.add_module(module)

    def _needs(self, reach: Reach) -> Needs:
        needs, unknown = self._asked.by(reach)
        if _GROUPS in reach.called:
            # No source names its kind: the target file does.
            own = self._profile.engine_groups
            needs |= {need(own.api_version, own.kind, verb) for verb in _OF_GROUPS}
        if self._profile.stack.deploy:
            # A run makes the platform's namespace, so that no Role can be there beforehand.
            needs = {replace(one, where=Where.ANYWHERE) for one in needs}
        return Needs(
            api=frozenset(needs),
            fixtures=frozenset(reach.fixtures),
            words=frozenset(reach.called),
            unknown=frozenset(unknown),
        )

    def _undo(self, fault: Fault) -> Iterator[Need]:
        """Yield what the janitor may do, which only who may do it himself can grant."""
        if not fault.needs_janitor:
            return
        rules: list[Mapping[str, Any]] = list(janitor.reading())
        for step in fault.steps:
            for component in self._profile.components.values():
                resource = f"{component.kind.lower()}s"
                target = Target(
                    name=component.name, namespace=component.namespace, resource=resource
                )
                rules += step.rules(target)
        for rule in rules:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    yield from (Need(group, resource, verb) for verb in rule["verbs"])
        yield from (
            Need("rbac.authorization.k8s.io", resource, verb)
            for resource in ("clusterroles", "clusterrolebindings")
            for verb in ("get", "create", "delete")
        )


def _words(fault: Fault) -> Iterator[str]:
    """Yield the modules of a fault's words."""
    words = {
        "targets": [fault.targets],
        "steps": fault.steps,
        "sightings": [fault.seen, fault.gone],
    }
    for folder, some in words.items():
        for word in some:
            yield f"hotfire.chaos.{folder}.{word.word.replace('-', '_')}"
