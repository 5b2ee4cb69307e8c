"""In which namespaces something is asked for, read from the expression that names them."""

import ast
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from hotfire.doctor.source import Reached, parts_of


class Where(StrEnum):
    """Which namespaces something is asked for in."""

    PLATFORM = "platform"
    """The platform's own."""
    ALLOWED = "allowed"
    """Those that the target file lets faults touch, the platform's own among them."""
    ANYWHERE = "anywhere"
    """All of them, or those that a run makes, which nobody can name beforehand."""


_PLATFORM: Final = re.compile(
    r"(^|[._])(profile|stack|engine|engines|victim|pod|last|one_more|spared\[0\])\.namespace$"
)
_ALLOWED: Final = re.compile(r"(^|[._])target\.namespace$")


def place_of(one: Reached, node: ast.expr) -> Where:
    """Return where a namespace is, as far as its expression tells; else anywhere."""
    text = ast.unparse(node)
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self" and one.owner:
        text = _property(one.owner, node.attr) or text
    sources = _values(one, node.id) if isinstance(node, ast.Name) else ()
    return _widest([text, *map(ast.unparse, sources)][bool(sources) :])


def _widest(texts: list[str]) -> Where:
    """Return where all of these expressions are."""
    if texts and all(map(_PLATFORM.search, texts)):
        return Where.PLATFORM
    named = texts and all(_PLATFORM.search(text) or _ALLOWED.search(text) for text in texts)
    return Where.ALLOWED if named else Where.ANYWHERE


def _values(one: Reached, name: str) -> list[ast.expr]:
    """Return what a variable of a function may be: what it is set to, or what callers give it."""
    return [*_set_to(one, name), *_given(one, name)]


def _set_to(one: Reached, name: str) -> Iterator[ast.expr]:
    for node in parts_of(one.function):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            yield node.value


def _given(one: Reached, name: str) -> Iterator[ast.expr]:
    places = [argument.arg for argument in one.function.args.args]
    if name not in places:
        return
    place = places.index(name)
    for node in parts_of(one.module.tree):
        called = isinstance(node, ast.Call) and ast.unparse(node.func) == one.function.name
        if isinstance(node, ast.Call) and called and len(node.args) > place:
            yield node.args[place]


def _property(owner: ast.ClassDef, name: str) -> str:
    """Return the expression that a property or attribute of a class is; empty if untold."""
    for method in owner.body:
        if isinstance(method, ast.FunctionDef) and method.name == name:
            last = method.body[-1]
            if isinstance(last, ast.Return) and last.value is not None:
                return ast.unparse(last.value)
    for node in ast.walk(owner):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == f"self.{name}":
            return ast.unparse(node.value)
    return ""
