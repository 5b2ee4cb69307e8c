"""Each folder imports only what is meant for it, and no file has grown beyond one idea."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hotfire
from hotfire.own_folders import project_root

_TOP = " ".join(f"hotfire.{name}" for name in hotfire.__all__)
_PURE = (
    "hotfire.answer hotfire.measure hotfire.idle_times hotfire.metrics hotfire.errors "
    "hotfire.engines"
)
_RUN = "hotfire.outcome hotfire.profile hotfire.requirement hotfire.rundir hotfire.verdict"
_FIXTURES = (
    "fixtures hotfire.chaos.agent_answers hotfire.chaos.agent_client hotfire.chaos.fabric "
    "hotfire.cluster hotfire.prometheus hotfire.waiting hotfire.traffic.runner.launch "
    "hotfire.traffic.witnesses.scrapes hotfire.traffic.witnesses.witness hotfire.traffic.workload"
)
# A name is allowed with all that lies below it; the standard library always is.
ALLOWED = {
    # The suites see the target through fixtures; they start nothing and know nothing of the lab.
    # `idle_peer` is the text of a program that they send into a pod.
    "suites": f"pytest {_TOP} {_PURE} {_FIXTURES} hotfire.engine.idle_peer hotfire.clients "
    "hotfire.rag",
    "experiments": f"pytest {_TOP} {_RUN} {_FIXTURES} hotfire.chaos hotfire.errors "
    "hotfire.evidence hotfire.experiment",
    # A report is made from a run directory, offline: nothing that reaches a target.
    "reports": f"reports jinja2 markupsafe plotly pydantic yaml {_TOP} {_PURE} {_RUN} "
    "hotfire.shown hotfire.yaml_text hotfire.traffic.record hotfire.traffic.witnesses.vllm_bench",
    # `engine.scripted` is the text of a program that they send into a pod. What clients show of
    # themselves they change.
    "fixtures": f"pytest yaml {_TOP} {_PURE} {_RUN} {_FIXTURES} hotfire.chaos hotfire.closing "
    "hotfire.errors hotfire.experiment hotfire.lab.kubectl_of_standing_lab hotfire.patience "
    "hotfire.traffic.runner hotfire.engine.scripted hotfire.access hotfire.clients "
    "hotfire.engine_groups hotfire.evidence hotfire.gateway hotfire.rag "
    "hotfire.reference hotfire.upkeep",
    # These run where nothing is installed.
    "src/hotfire/agent": "hotfire.agent",
    # Programs of several files, which a ConfigMap brings together.
    "src/hotfire/engine": "hotfire.engine.api_server hotfire.engine.promotion_answers "
    "hotfire.engine.promotion_decision hotfire.engine.rag",
    "src/hotfire/lab/programs": "hotfire.lab.programs",
}
MOST_LINES = 350
# The text of one program for a bare pod; and what is still to be split, by its lines.
LONGER = {
    "src/hotfire/engine/scripted.py": 1182,
    "src/hotfire/profile.py": 475,
}
OUTSIDE = {"bench", "experiments", "fixtures", "reports", "suites", "tests"}


def imported(path: Path) -> Iterator[str]:
    """Yield what a file imports, each name with its module; relative imports are its own folder."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_a_name_is_found_with_its_module(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("import a.b\ndef f():\n    from c.d import e, f\n")

    assert list(imported(tmp_path / "x.py")) == ["a.b", "c.d.e", "c.d.f"]


@pytest.mark.parametrize("folder", ALLOWED)
def test_a_folder_imports_only_what_is_meant_for_it(folder: str) -> None:
    allowed = tuple(f"{name}." for name in [*sys.stdlib_module_names, *ALLOWED[folder].split()])
    files = list((project_root() / folder).rglob("*.py"))

    found = {(path.name, name) for path in files for name in imported(path)}

    assert files
    assert {(file, name) for file, name in found if not f"{name}.".startswith(allowed)} == set()


def test_the_package_imports_no_folder_beside_it() -> None:
    files = list((project_root() / "src").rglob("*.py"))

    found = {(path.name, name) for path in files for name in imported(path)}

    assert len(files) > 100
    assert {(file, name) for file, name in found if name.partition(".")[0] in OUTSIDE} == set()


def test_no_file_is_longer_than_an_idea_takes() -> None:
    folders = ("src", "fixtures", "reports", "suites", "experiments")
    root = project_root()
    lines = {
        str(path.relative_to(root)): len(path.read_bytes().splitlines())
        for folder in folders
        for path in (root / folder).rglob("*.py")
    }

    assert len(lines) > 500
    assert {
        file: count for file, count in lines.items() if count > LONGER.get(file, MOST_LINES)
    } == {}
    assert {file for file in LONGER if lines.get(file, 0) <= MOST_LINES} == set()


def test_every_file_with_a_fixture_is_known_to_pytest() -> None:
    tree = ast.parse((project_root() / "conftest.py").read_bytes())
    (plugins,) = [
        ast.literal_eval(one.value)
        for one in tree.body
        if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "pytest_plugins"
    ]
    files = {
        f"fixtures.{path.stem}"
        for path in (project_root() / "fixtures").glob("*.py")
        if "@pytest.fixture" in path.read_text()
    }

    assert len(files) > 30
    assert files - set(plugins) == set()
