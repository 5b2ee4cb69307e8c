"""Whoever tests another target needs nothing of the lab's: hotfire[lab] is an extra."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from hotfire import cli, lab
from hotfire.lab.shape.state import LabRecord, Ports, State, state_home
from hotfire.own_folders import project_root

SOURCE = project_root() / "src" / "hotfire"
BESIDE = [project_root() / name for name in ("experiments", "fixtures", "reports", "suites")]
IMPORT = re.compile(r"^ *(?:from ([\w.]+) import|import ([\w.]+))", re.MULTILINE)
# The modules of what the extra installs; uv is a program.
MODULES = ("cryptography", "envoy", "google", "grpc", "pyroute2")
# A finder before all others, for which these packages do not exist.
WITHOUT = f"""
import importlib, sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {MODULES}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Without())
for name in sys.argv[1:]:
    importlib.import_module(name)
print(len(sys.argv) - 1)
"""


def imported(*folders: Path) -> set[tuple[str, str]]:
    """Return the folder or file below src/hotfire that imports something, and its name."""
    return {
        (path.relative_to(folder).parts[0], name)
        for folder in folders
        for path in folder.rglob("*.py")
        for line in IMPORT.findall(path.read_text(encoding="utf-8"))
        for name in line
        if name
    }


def test_the_extra_is_what_the_project_says() -> None:
    project = tomllib.loads((project_root() / "pyproject.toml").read_text())["project"]
    extra = {line.partition("=")[0].rstrip(">") for line in project["optional-dependencies"]["lab"]}

    assert extra == set(lab.EXTRA)
    assert not [line for line in project["dependencies"] if line.startswith(lab.EXTRA)]


def test_only_the_lab_names_its_packages_in_any_import() -> None:
    names = {(part, name.partition(".")[0]) for part, name in imported(SOURCE, *BESIDE)}

    assert {part for part, name in names if name in MODULES} == {"lab"}
    assert {name for _, name in names} >= set(MODULES)


def test_nobody_beside_the_lab_imports_more_of_it_than_its_doors() -> None:
    others = [one for one in SOURCE.iterdir() if one.is_dir() and one.name != "lab"]

    inside = {name for _, name in imported(*others, *BESIDE) if name.startswith("hotfire.lab")}

    assert inside == {"hotfire.lab", "hotfire.lab.face.cli"}


def test_its_doors_and_the_commands_open_without_its_packages() -> None:
    names = [f"hotfire.cli.{path.stem}" for path in (SOURCE / "cli").glob("*.py")]
    names += ["hotfire.lab.face.cli", "hotfire.lab.shape.state", "hotfire.pytest_plugin"]

    told = subprocess.run(
        [sys.executable, "-c", WITHOUT, *names], capture_output=True, text=True, check=False,
        timeout=60, cwd=project_root(),
    )  # fmt: skip

    assert (told.returncode, told.stderr) == (0, "")
    assert int(told.stdout) == len(names) > 20


@pytest.mark.parametrize("arguments", [["lab", "status"], ["lab", "nodes"], ["certify"]])
def test_without_the_extra_the_lab_is_one_line_with_the_remedy(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab, "EXTRA", (*lab.EXTRA, "no-such-package"))

    code = cli.run(arguments)

    told = capsys.readouterr().err
    assert (code, told.count("\n")) == (cli.BAD_ARGUMENTS, 1)
    assert "needs packages that are not installed (no-such-package)" in told
    assert "pip install 'hotfire[lab]'" in told


def test_a_lab_that_somebody_else_brought_up_is_left_alone_without_its_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(lab, "EXTRA", (*lab.EXTRA, "no-such-package"))
    State(state_home()).write(
        LabRecord(checkout="", started_at="", complete=True, topology={}, ports=Ports())
    )

    assert lab.kubectl_of_standing_lab() is None
    assert not lab.collect_logs(State(state_home()).kubeconfig, tmp_path / "logs")
