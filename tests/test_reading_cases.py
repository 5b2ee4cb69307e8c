"""Cases that only read come first and share what was listed; behind a change it is listed anew."""

from pathlib import Path

import pytest

from hotfire.rundir import RunDirectory

pytest_plugins = ["pytester"]

TARGET = "{name: acme, gateway: {url: 'http://127.0.0.1:1'}, engine: {model: m}, budgets: lab}"
CLUSTER = """
from types import SimpleNamespace
import pytest

pytest_plugins = ["hotfire.pytest_plugin", "fixtures.survey"]

class Listed:
    def nodes(self, selector):
        with open("lists", "a") as file:
            file.write("nodes ")
        return []

@pytest.fixture(scope="session")
def connection():
    return Listed()

@pytest.fixture(scope="session")
def lease():
    return SimpleNamespace(require=lambda: None)

@pytest.fixture
def cluster(connection):
    return connection
"""
CHECK = '''"""A node has a name.

Nobody finds it without.
"""
from hotfire import Level, requirement

pytestmark = requirement("{id}", Level.MUST, __doc__, source="https://x")

'''
CHANGES = "def test_changes(cluster, evidence):\n    evidence.record('x', 1)\n"
READS = "def test_reads(survey, evidence):\n    survey.nodes()\n"
LOOKS_AFTERWARDS = "def test_looks(cluster, survey, evidence):\n    survey.nodes()\n"


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makefile(".yaml", target=TARGET)
    pytester.makeini(
        "[pytest]\naddopts = --import-mode=importlib -p no:locust -p no:hypothesispytest"
    )
    pytester.makeconftest(CLUSTER)
    folder = pytester.mkdir("suites") / "api"
    folder.mkdir()
    cases = {"API-003": CHANGES + READS, "API-004": LOOKS_AFTERWARDS, "API-005": READS}
    for id_, body in cases.items():
        (folder / f"test_{id_[-1]}.py").write_text(CHECK.replace("{id}", id_) + body)
    return pytester


def run(project: pytest.Pytester, *options: str) -> list[str]:
    """Return the cases that were run, in their order."""
    project.runpytest_inprocess("suites", "--target", "target.yaml", *options)
    done = RunDirectory.open(project.path / "runs" / "latest").results()
    return [one.nodeid.rpartition("/")[2] for one in done if one.case != "skipped"]


def lists(folder: Path) -> int:
    return len((folder / "lists").read_text().split())


def test_who_only_reads_comes_before_anything_is_changed(project: pytest.Pytester) -> None:
    done = run(project)

    assert done == [
        "test_3.py::test_reads",
        "test_5.py::test_reads",
        "test_3.py::test_changes",
        "test_4.py::test_looks",
    ]


def test_one_list_serves_all_that_only_read(project: pytest.Pytester) -> None:
    project.runpytest_inprocess("suites", "--target", "target.yaml", "-m", "reading")

    assert lists(project.path) == 1


def test_behind_a_change_it_is_listed_again(project: pytest.Pytester) -> None:
    run(project)

    assert lists(project.path) == 2
