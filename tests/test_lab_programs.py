"""Programs of the lab's machines: they start with nothing but a bare Python."""

import ast
import runpy
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from hotfire.lab import programs

LAB = Path(programs.__file__).parent
INIT, RELAY, SMI = LAB / "machine_init.py", LAB / "relay.py", LAB / "assets" / "nvidia-smi"
STORE, CACHE = LAB / "model_store.py", LAB.parents[1] / "engine" / "model_cache.py"


def imports(nodes: Iterable[ast.AST]) -> set[str]:
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return found


@pytest.mark.parametrize("program", [INIT, RELAY, SMI, STORE, CACHE], ids=lambda path: path.name)
def test_program_needs_the_standard_library_only(program: Path) -> None:
    tree = ast.parse(program.read_text())
    tree.body = [node for node in tree.body if not isinstance(node, ast.If)]  # TYPE_CHECKING

    tops = {name.split(".")[0] for name in imports(ast.walk(tree))}

    assert "sys" in tops
    assert tops <= sys.stdlib_module_names


def test_machine_init_imports_nothing_once_it_runs() -> None:
    tree = ast.parse(INIT.read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]

    late = imports([node for function in functions for node in ast.walk(function)])

    assert len(functions) > 10
    assert late == set()


def test_machine_init_finds_programs_along_the_path(tmp_path: Path) -> None:
    find_program = runpy.run_path(str(INIT))["find_program"]
    (tmp_path / "tool").touch(mode=0o755)
    (tmp_path / "data").touch(mode=0o644)
    path = f"/nonexistent:{tmp_path}"

    assert find_program("tool", path) == f"{tmp_path}/tool"
    assert find_program("absent", path) == "absent"


def test_help_of_the_command_line_imports_nothing_of_the_lab() -> None:
    heavy = "{'pyroute2', 'cryptography', 'grpc', 'kubernetes', 'yaml', 'hotfire.lab.lab'}"
    program = f"import sys, hotfire.lab.face.cli; print(sorted({heavy} & set(sys.modules)))"

    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert said.stdout == "[]\n"
