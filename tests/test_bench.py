"""The bench misses what it cannot show, and knows every ending that its server has."""

import ast
import importlib
import math
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import TypeGuard

import pytest

from bench.endings import CLASSES
from bench.judged import Judged, told
from bench.truth_server import ENDINGS
from hotfire.own_folders import project_root

BENCH = project_root() / "bench"
OURS = ("bench", "hotfire", "reports", "tests")


@pytest.mark.parametrize("at_least", [True, False])
def test_a_value_that_is_no_number_is_missed(*, at_least: bool) -> None:
    line = Judged(what="cost", measured=math.nan, limit=3, at_least=at_least)

    assert not line.met


def test_a_value_on_its_limit_is_met_and_one_beyond_is_not() -> None:
    assert Judged(what="cost", measured=20, limit=20).met
    assert not Judged(what="cost", measured=20.01, limit=20).met
    assert Judged(what="times cheaper", measured=3, limit=3, at_least=True).met
    assert not Judged(what="times cheaper", measured=2.99, limit=3, at_least=True).met


def test_one_missed_line_is_told_in_the_verdict() -> None:
    met, missed = (Judged(what="cost", measured=value, limit=20) for value in (8, 21))

    assert told([met]).endswith("all 1 met")
    assert told([met, missed]).endswith("1 of 2 MISSED")


def test_every_ending_of_the_truth_server_is_judged() -> None:
    assert set(CLASSES) == set(ENDINGS)


@pytest.mark.parametrize("path", sorted(BENCH.rglob("*.py")), ids=lambda path: path.stem)
def test_whatever_a_bench_imports_of_ours_is_there(path: Path) -> None:
    """Also in the programs that it starts; it is not run, for some change the whole process."""
    named = set(imported(path.read_text(encoding="utf-8")))

    assert [name for name in named if not exists(*name)] == []


def imported(text: str) -> Iterator[tuple[str, str]]:
    """Yield module and name of what a text imports of ours, and what the texts in it do."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module and of_ours(node.module):
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Constant) and is_program(node.value):
            yield from imported(dedent(node.value))


def of_ours(module: str) -> bool:
    return module.partition(".")[0] in OURS


def is_program(value: object) -> TypeGuard[str]:
    if not isinstance(value, str) or " import " not in value:
        return False
    try:
        ast.parse(dedent(value))
    except SyntaxError:
        return False
    return True


def exists(module: str, name: str) -> bool:
    try:
        if hasattr(importlib.import_module(module), name):
            return True
        importlib.import_module(f"{module}.{name}")
    except ImportError:
        return False
    return True


def test_what_was_moved_is_noticed_in_a_program_too() -> None:
    text = 'PROGRAM = """\nfrom hotfire.moved import away\n"""\nfrom bench.rig import p95\n'

    found = {name: exists(*name) for name in imported(text)}

    assert found == {("hotfire.moved", "away"): False, ("bench.rig", "p95"): True}
