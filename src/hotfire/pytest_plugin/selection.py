"""Which cases a run takes, and in which order: by their claims, by scope and by what was asked."""

import difflib
from collections.abc import Sequence
from pathlib import Path

import pytest

from hotfire.pytest_plugin.case import Case, below_units, unit_roots
from hotfire.pytest_plugin.recorder import CASE, asked_scope, cases
from hotfire.pytest_plugin.session import earlier_results
from hotfire.requirement import Level, Requirement, Scope

# Whoever asks for this fixture is judged by what the whole run has recorded.
_JUDGES_RECORD = "recorded_faults"
# Who takes the first of these and none of the others changes nothing.
_READS = "survey"
_CHANGES = frozenset({"cluster", "agent", "endpoint"})
READING = "reading"
"""Marks cases that only read; `pytest -m reading` takes no others."""
KNOWN = pytest.StashKey[dict[str, bool]]()
"""The ids collected before anything was left out, and whether each is a fault's."""


def select(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Name the case of each item, bring them in order and leave out what nobody asked for.

    Raises:
        pytest.UsageError: an item checks no requirement, two files the same, or ``--only`` names
            what there is not.
    """
    files: dict[str, Path] = {}
    roots = unit_roots(config)
    for item in items:
        file = _file(item, roots)
        if (unit := below_units(file, roots)) is None:
            continue
        claim = _claim(item)
        # A file's name stands in each result: another of that name could not be told from it.
        for name in (claim.id, str(unit)):
            if (other := files.setdefault(name, file)) != file:
                both = " and ".join(_told(one, config.rootpath) for one in (other, file))
                raise pytest.UsageError(f"{name} is checked by both {both}")
        item.stash[CASE] = Case(requirement=claim, unit=unit, nodeid=item.nodeid)
        if _only_reads(item):
            item.add_marker(READING)
    items.sort(key=_turn)
    _select(config, items)


def _only_reads(item: pytest.Item) -> bool:
    names = set(getattr(item, "fixturenames", ()))
    return _READS in names and not names & _CHANGES


def _turn(item: pytest.Item) -> int:
    """Return when a case comes.

    Who only reads comes before anything is changed, so that all such cases share one list; what is
    judged by the run's own record comes when there is one.
    """
    if _JUDGES_RECORD in getattr(item, "fixturenames", ()):
        return 2
    return 0 if item.get_closest_marker(READING) else 1


def _file(item: pytest.Item, roots: Sequence[Path]) -> Path:
    """Return the file a case is about: the experiment among its parameters, else its own."""
    parameters = getattr(getattr(item, "callspec", None), "params", {}).values()
    paths = [getattr(value, "path", value) for value in parameters]
    units = [path for path in paths if isinstance(path, Path) and below_units(path, roots)]
    return next(iter(units), item.path) if below_units(item.path, roots) else item.path


def _told(file: Path, root: Path) -> str:
    return str(file.relative_to(root) if file.is_relative_to(root) else file)


def _claim(item: pytest.Item) -> Requirement:
    mark = item.get_closest_marker("requirement")
    if mark is None or not (mark.args and isinstance(mark.args[0], Requirement)):
        raise pytest.UsageError(f"{item.nodeid} checks no requirement; see CONTRIBUTING.md")
    return mark.args[0]


def _select(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take what the scope holds, and deselect what ``--only`` and ``--level`` leave out of it."""
    words = {word.casefold() for word in config.getoption("only")}
    _refuse_unknown(words, {name for case in cases(items) for name in case.names})
    config.stash[KNOWN] = {case.requirement.id: case.is_fault for case in cases(items)}
    items[:] = [item for item in items if _within(asked_scope(config), item)]
    musts_only = config.getoption("level") == "must"

    def is_wanted(item: pytest.Item) -> bool:
        case = item.stash.get(CASE, None)
        if case is None:
            return True
        named = not words or bool(case.names & words)
        return named and not (musts_only and case.requirement.level is not Level.MUST)

    if dropped := [item for item in items if not is_wanted(item)]:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if is_wanted(item)]
    if done := {result.nodeid for result in earlier_results(config)}:
        items[:] = [item for item in items if item.nodeid not in done]


def _within(scope: Scope, item: pytest.Item) -> bool:
    case = item.stash.get(CASE, None)
    return case is None or scope.holds(case.requirement.scope)


def _refuse_unknown(words: set[str], names: set[str]) -> None:
    for word in sorted(words - names):
        near = difflib.get_close_matches(word, names, n=1)
        hint = f", did you mean {near[0]!r}?" if near else "; see hotfire list"
        raise pytest.UsageError(f"--only: no requirement or area {word!r}{hint}")
