"""What a check asks whether we ourselves may do, read from the acts that it writes down.

A check that holds somebody's rights against ours must be run by who has them.
"""

import ast
from collections.abc import Iterator
from itertools import product
from typing import Final

from hotfire.doctor.place import Where, place_of
from hotfire.doctor.source import Reached, Source, parts_of
from hotfire.doctor.written import texts

_ASKED: Final = "we_may"
_ACT: Final = "Act"
Act = tuple[str, str, str, Where]
"""Group, resource, verb, and where."""


def asked(one: Reached, source: Source) -> Iterator[Act]:
    """Yield each act that a function asks about, for as far as constants say it."""
    for act in _acts(one):
        fields = {word.arg: word.value for word in act.keywords}
        verbs, resources, groups = (
            _texts(fields.get(name), one, source) for name in ("verb", "resource", "group")
        )
        namespace = fields.get("namespace")
        where = place_of(one, namespace) if namespace is not None else Where.ANYWHERE
        for verb, resource, group in product(verbs, resources, groups or [""]):
            yield group, resource, verb, where


def asks(one: Reached) -> list[ast.Call]:
    """Return a function's calls that ask whether we may do something, or many such things."""
    calls = (node for node in parts_of(one.function) if isinstance(node, ast.Call))
    return [call for call in calls if any(map(_is_question, (call.func, *call.args)))]


def _is_question(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == _ASKED


def _acts(one: Reached) -> Iterator[ast.Call]:
    """Yield what makes the acts that a function asks about."""
    for call in asks(one):
        given = {node.id for node in call.args if isinstance(node, ast.Name)}
        made = [value for name, value in _assigned(one) if name in given]
        for part in (*call.args, *made):
            for node in ast.walk(part):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == _ACT:
                    yield node


def _assigned(one: Reached) -> Iterator[tuple[str, ast.expr]]:
    for node in parts_of(one.function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value


def _texts(node: ast.expr | None, one: Reached, source: Source) -> list[str]:
    """Return the texts that a field may be: also each of a constant that it is taken from."""
    found = texts(node, one.module, source)
    if found or not isinstance(node, ast.Name):
        return found
    return [text for part in _taken(one, node.id) for text in texts(part, one.module, source)]


def _taken(one: Reached, name: str) -> Iterator[ast.expr]:
    """Yield the parts of a constant sequence that a variable stands for, one after the other."""
    for node in parts_of(one.function):
        if isinstance(node, ast.comprehension) and ast.unparse(node.target) == name:
            yield from _parts(one, node.iter)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
            names = [ast.unparse(part) for part in node.targets[0].elts]
            parts = _parts(one, node.value)
            yield from [part for own, part in zip(names, parts, strict=False) if own == name]


def _parts(one: Reached, node: ast.expr) -> list[ast.expr]:
    value = one.module.constants.get(node.id) if isinstance(node, ast.Name) else node
    return list(value.elts) if isinstance(value, ast.Tuple | ast.List) else []
