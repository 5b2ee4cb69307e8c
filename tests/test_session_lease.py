"""A session has the cluster for itself, and stops when it has not any more."""

from collections.abc import Iterator

import pytest

from hotfire.chaos.lease import RunLease
from hotfire.cluster import Cluster, namespaces
from hotfire.rundir import Result, RunDirectory
from hotfire.verdict import Conformance, Verdict
from tests.chaos.platform import SYSTEM, profile_for
from tests.fake_api import FakeApi, connect, serving

pytest_plugins = ["pytester"]

CHECK = '''"""A stream ends.

Clients hang without it.
"""
from hotfire import Level, requirement
from hotfire.waiting import until

pytestmark = requirement("API-003", Level.MUST, __doc__, source="https://x")

def test_first(cluster, lease, evidence):
    evidence.record("held", lease.run_id)
    DISTURBED

def test_second(cluster, evidence):
    evidence.record("x", 1)
'''
LOSING = """from hotfire.chaos.holders import release
    release(cluster, "hotfire-system")
    until(lambda: lease.lost, within_seconds=10, what="the loss noticed")"""
PLUGINS = ("hotfire.pytest_plugin", "fixtures.target", "fixtures.stack")


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def address(api: FakeApi) -> Iterator[str]:
    with serving(api) as address:
        yield address


def run(pytester: pytest.Pytester, address: str, *, disturbed: str = "pass") -> RunDirectory:
    profile_for(pytester.path, address)
    target = "name: acme\ngateway: {url: http://127.0.0.1:1}\nengine: {model: tiny}\nbudgets: lab\n"
    (pytester.path / "target.yaml").write_text(target + "kubeconfig: kubeconfig\n")
    suites = pytester.path / "suites" / "api"
    suites.mkdir(parents=True)
    (suites / "test_stream.py").write_text(CHECK.replace("DISTURBED", disturbed))
    pytester.makeini("[pytest]\naddopts = --import-mode=importlib -p no:locust")
    options = [word for name in PLUGINS for word in ("-p", name)]
    pytester.runpytest_inprocess(*options, "--target", "target.yaml", "suites")
    return RunDirectory.open(pytester.path / "runs" / "latest")


def verdicts(results: list[Result]) -> dict[str, Verdict]:
    return {one.case: one.verdict for one in results}


def test_it_is_given_back_with_all_that_was_made_for_it(
    pytester: pytest.Pytester, address: str, api: FakeApi
) -> None:
    found = run(pytester, address)

    assert set(verdicts(found.results()).values()) == {Verdict.PASSED}
    assert api.names("namespaces") == ["kube-system"]
    assert (found.path("journals/made.jsonl")).read_text().count(SYSTEM) > 0


def test_a_session_that_lost_it_judges_nothing_and_begins_nothing_more(
    pytester: pytest.Pytester, address: str
) -> None:
    found = run(pytester, address, disturbed=LOSING)

    said = verdicts(found.results())
    assert said == {"test_first": Verdict.INCONCLUSIVE, "test_second": Verdict.INCONCLUSIVE}
    assert found.info().conformance is Conformance.INCONCLUSIVE
    assert "Lease was deleted or taken" in " ".join(found.info().notes)


def test_a_session_beside_another_touches_nothing(
    pytester: pytest.Pytester, address: str, api: FakeApi
) -> None:
    cluster: Cluster = connect(address)
    namespaces.create(cluster, SYSTEM, run_id="a")
    with RunLease(cluster, SYSTEM, run_id="a", lease_seconds=60, on_lost=lambda: None):
        before = set(api.objects)
        found = run(pytester, address)

        assert set(api.objects) == before
    assert set(verdicts(found.results()).values()) == {Verdict.INCONCLUSIVE}
    assert "run a" in found.results()[0].reason
