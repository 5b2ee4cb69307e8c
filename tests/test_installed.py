"""hotfire installed from its wheel, far from any checkout."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hotfire.own_folders import CARRIED, project_root
from tests.sample_run import write_sample_run

NO_PART = shutil.ignore_patterns(
    ".*", "runs", "build", "__pycache__", "*.so", "*.egg-info", "tests", "bench", "docs"
)
OFFLINE = ("--no-deps", "--no-index", "--disable-pip-version-check", "-q")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel built with what is installed here, of a copy: a build leaves its folders."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(project_root(), folder / "source", ignore=NO_PART)
    pip("wheel", "--no-build-isolation", "-w", str(folder), str(folder / "source"))
    return next(folder.glob("hotfire-*.whl"))


@pytest.fixture(scope="module")
def site(wheel: Path) -> Path:
    """Return a folder with hotfire and nothing else installed in it."""
    site = wheel.parent / "site"
    pip("install", "--target", str(site), "--no-compile", str(wheel))
    return site


def pip(command: str, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", command, *OFFLINE, *arguments],
        check=True, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def hotfire(site: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installed hotfire; its libraries are those of this environment."""
    return subprocess.run(
        [sys.executable, "-m", "hotfire", *arguments],
        capture_output=True, text=True, check=False, timeout=60, cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(site), "HOME": str(cwd), "COLUMNS": "200"},
    )  # fmt: skip


def test_wheel_carries_every_file_of_the_project_and_no_other(wheel: Path) -> None:
    root, prefix = project_root(), f"hotfire/{CARRIED}/"
    folders = ("experiments", "fixtures", "reference-stack", "reports", "suites")
    ours = {
        str(path.relative_to(root))
        for folder in folders
        for path in (root / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    carried = {
        name.removeprefix(prefix)
        for name in zipfile.ZipFile(wheel).namelist()
        if name.startswith(prefix)
    }

    assert len(ours) > 150
    assert ours - carried == set()
    assert {name.partition("/")[0] for name in carried - ours} == {
        "conftest.py", "pyproject.toml", "requirements", "src",
    }  # fmt: skip


def test_stack_finds_every_file_that_it_names_beside_it(site: Path) -> None:
    stack = site / "hotfire" / CARRIED / "reference-stack"
    named = {
        path.parent / name
        for path in stack.rglob("kustomization.yaml")
        for name in re.findall(r"(?:\.\./)+[\w./-]+", path.read_text(encoding="utf-8"))
    }

    assert len(named) > 5
    assert {str(path) for path in named if not path.exists()} == set()


def test_wheel_asks_for_the_labs_packages_only_with_the_extra(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        lines = archive.read(name).decode().splitlines()

    wanted = [line for line in lines if line.startswith("Requires-Dist: ")]
    assert [line for line in wanted if "pyroute2" in line or "grpcio" in line] == [
        'Requires-Dist: grpcio>=1.70; extra == "lab"',
        'Requires-Dist: pyroute2>=0.9; extra == "lab"',
    ]


def test_it_lists_and_explains_what_a_checkout_does(site: Path, tmp_path: Path) -> None:
    listed, explained = (
        hotfire(site, tmp_path, "list"),
        hotfire(site, tmp_path, "explain", "API-005"),
    )

    assert (listed.returncode, explained.returncode) == (0, 0)
    assert "FLT-POD-001" in listed.stdout
    assert len(listed.stdout.splitlines()) > 100
    assert "suites/api/" in explained.stdout
    assert "its broken twin, which lies in hotfire's checkout" in explained.stdout


def test_it_finds_and_reports_a_run_of_the_current_directory(site: Path, tmp_path: Path) -> None:
    write_sample_run(tmp_path / "runs")

    told = hotfire(site, tmp_path, "report", "latest", "--format", "html,junit", "--output", "out")

    assert (told.returncode, told.stderr) == (0, "")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "report.html",
        "report.junit.xml",
    ]


def test_its_suites_are_collected_where_they_are_installed(site: Path, tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider",
         "suites/api/test_streams_arrive_as_answered.py", "experiments"],
        capture_output=True, text=True, check=False, timeout=60,
        cwd=site / "hotfire" / CARRIED,
        env={**os.environ, "PYTHONPATH": str(site), "HOME": str(tmp_path)},
    )  # fmt: skip

    assert told.returncode == 0, told.stdout[-2000:]
    assert "suites/api/test_" in told.stdout
    assert "experiments/test_experiments.py::test_target_withstands[kill-one-engine]" in told.stdout
