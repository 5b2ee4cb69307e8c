"""What the doctor looks at: the target, the cluster, and what each requirement needs of both."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from hotfire.cluster import Cluster
from hotfire.discovery.eyes import Eyes
from hotfire.discovery.hardware import Hardware
from hotfire.discovery.workloads import Workload, holding
from hotfire.doctor.permissions import Needs, Unit
from hotfire.profile import TargetProfile


@dataclass(frozen=True)
class Site:
    """One target."""

    profile: TargetProfile
    cluster: Cluster
    units: Mapping[Unit, Needs]
    every_run: Needs

    @cached_property
    def eyes(self) -> Eyes:
        return Eyes(self.cluster)

    @cached_property
    def holders(self) -> list[Workload]:
        """Workloads with accelerators in the platform's namespace."""
        return holding(self.eyes, self.profile.namespace)

    @cached_property
    def engines(self) -> list[Workload]:
        """Those of them that the target file takes for the engine."""
        wanted = self.profile.engine.selector.items()
        return [one for one in self.holders if wanted <= one.pods[0].labels.items()]

    @cached_property
    def hardware(self) -> Hardware:
        return Hardware.seen(self.eyes)

    def ids(self, which: Callable[[Unit, Needs], bool]) -> frozenset[str]:
        """Return the ids of the requirements and faults that something holds for."""
        return frozenset(unit.id for unit, needs in self.units.items() if which(unit, needs))

    def using(self, fixture: str) -> frozenset[str]:
        """Return the ids of those that ask for a fixture."""
        return self.ids(lambda _, needs: fixture in needs.fixtures)

    def reading(self, field: str) -> frozenset[str]:
        """Return the ids of those that read a field of the target file."""
        return self.ids(lambda _, needs: field in needs.words)
