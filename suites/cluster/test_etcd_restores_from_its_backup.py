"""etcd restores from its backup within the declared time, with equal objects.

A backup job that is green every night proves that it ran. Whether what it wrote is a database, and
is up again before the day is over, only who restores it finds out; most do so for the first time
on the day on which they have to.
"""

from dataclasses import dataclass

import pytest

from fixtures.etcd_backup import Backups, Revisions
from fixtures.scratch import Scratch
from hotfire import Evidence, Level, requirement
from hotfire.cluster import Cluster
from hotfire.errors import HarnessError

pytestmark = requirement(
    "CLU-010",
    Level.SHOULD,
    __doc__,
    source="https://etcd.io/docs/v3.6/op-guide/recovery/",
    features={"etcd-backup"},
)

KEPT, CHANGED, DELETED, NEW = "kept", "changed", "deleted", "new"


def different(expected: Revisions, held: Revisions) -> list[str]:
    """Return which of these objects are not held as expected."""
    return sorted(name for name, revision in expected.items() if held.get(name) != revision)


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """Objects of ours, before a backup and after."""

    cluster: Cluster
    namespace: str

    def write(self, *names: str, text: str) -> None:
        documents = [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name},
                "data": {"text": text},
            }
            for name in names
        ]
        self.cluster.apply(documents, namespace=self.namespace)

    def change(self) -> None:
        """Change one, delete one and make one."""
        self.write(CHANGED, NEW, text="after")
        self.cluster.delete("ConfigMap", self.namespace, DELETED)

    def named(self, *names: str) -> list[str]:
        """Return how these are told among all."""
        return [f"{self.namespace}/{name}" for name in names]


@pytest.fixture
def objects(cluster: Cluster, scratch: Scratch) -> Objects:
    """Three objects of ours, as they are before the backup."""
    made = Objects(cluster=cluster, namespace=scratch.namespace)
    made.write(KEPT, CHANGED, DELETED, text="before")
    return made


def test_a_member_restored_from_the_backup_holds_equal_objects(
    objects: Objects, backups: Backups, evidence: Evidence
) -> None:
    before = backups.live()
    place = backups.take()
    now = backups.live()
    # What changed meanwhile may be in the backup as it was before or after.
    still = {name: each for name, each in before.items() if now.get(name) == each}
    objects.change()
    restored = backups.restore(place)
    wrong, within_seconds = different(still, restored.revisions), backups.declared.restore_seconds
    evidence.record("backup", place)
    evidence.record("restored_in_seconds", restored.seconds)
    evidence.record("problem", restored.problem)
    evidence.record("objects_compared", len(still))
    evidence.record("different", wrong)

    assert not restored.problem, f"{place} cannot be restored: {restored.problem}"
    assert not wrong, f"of {len(still)} objects {len(wrong)} are not as they were: {wrong[:3]}"
    assert restored.seconds <= within_seconds, (
        f"it took {restored.seconds:.0f} s, and {within_seconds:g} s are declared"
    )
    check_control(objects, backups.live(), restored.revisions)


def check_control(objects: Objects, now: Revisions, held: Revisions) -> None:
    """Negative control: what was changed since is not held, and what was not is.

    Raises:
        HarnessError: it cannot be told from what was there before.
    """
    changed, gone = objects.named(CHANGED, NEW), objects.named(DELETED)
    own = {name: now[name] for name in objects.named(KEPT, CHANGED, NEW)}
    unlike = different(own, held)
    if unlike != changed or not held.keys() >= set(gone):
        raise HarnessError(f"the backup is older than {changed}, and differs in {unlike} only")
