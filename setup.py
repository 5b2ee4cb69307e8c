"""The wheel carries what a checkout has beside ``src``, so that ``pip install`` gives all of it.

An editable installation finds these in the checkout itself.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

FOLDERS = ("experiments", "fixtures", "reference-stack", "reports", "suites")
# pytest's settings are in pyproject.toml; the lab makes the engine's environment of engine.txt; the
# stack's ConfigMaps are made of programs that kustomize looks for beside it.
FILES = (
    *("conftest.py", "pyproject.toml", "requirements/engine.txt"),
    *map(str, sorted(Path("src/hotfire/engine").rglob("[!_]*.py"))),
)


class BuildWithProject(build_py):
    """Copies the package, then the project's folders into it: see hotfire.own_folders."""

    def run(self) -> None:
        """Build as ever; ``_project`` is made anew, for a build folder may hold an older one."""
        super().run()
        if self.editable_mode:
            return
        project = Path(self.build_lib) / "hotfire" / "_project"
        shutil.rmtree(project, ignore_errors=True)
        for name in FOLDERS:
            shutil.copytree(name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in FILES:
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(name, project / name)


setup(cmdclass={"build_py": BuildWithProject})
