"""A sandboxed pod sees no kernel, process, memory, mount or network of its host.

Code that a model wrote runs there because nobody trusts it. A RuntimeClass is a name: one that is
mapped to the plain runtime starts its pods as well, faster even, on the host's own kernel, and
nothing says so. Only from within shows whose kernel it is and what else is seen.
"""

from collections.abc import Mapping

from fixtures.sandboxes import API, ITSELF, SHARED, Search, sandboxes
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster
from hotfire.errors import HarnessError

pytestmark = requirement(
    "SEC-002",
    Level.SHOULD,
    __doc__,
    source="https://kubernetes.io/docs/concepts/containers/runtime-class/",
    features={"workload-sandboxing"},
    cncf="security.workload_sandboxing",
)


def shared(found: Mapping[str, bool]) -> list[str]:
    """Return what of its host a search has found."""
    return [kind for kind in SHARED if found[kind]]


def test_a_sandboxed_pod_finds_nothing_of_its_host(
    profile: TargetProfile, cluster: Cluster, search: Search, evidence: Evidence
) -> None:
    names = sandboxes(cluster.list("RuntimeClass", api_version=API), profile.sandboxes)
    evidence.record("runtime_classes", names)
    searched = {name: search.from_sandbox(name) for name in names}
    found = {name: each for name, (_, each) in searched.items()}
    control = search.from_host(searched[names[0]][0])
    evidence.record("found", found)
    evidence.record("found_without_a_sandbox", control)
    seen = {name: shared(each) for name, each in found.items() if shared(each)}

    assert not seen, "; ".join(
        f"a pod of {n} finds its host's {', '.join(k)}" for n, k in seen.items()
    )
    # Negative control: the same search finds everything from a pod that shares it all.
    if missed := set(SHARED) - set(shared(control)):
        raise HarnessError(
            f"a pod on the host itself does not find its {', '.join(sorted(missed))}"
        )
    if blind := [name for name, each in found.items() if not each[ITSELF]]:
        raise HarnessError(f"a pod of {blind[0]} does not find itself either: it cannot search")
