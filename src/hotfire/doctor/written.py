"""What functions write down: texts, and objects of Kubernetes, as far as constants say."""

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Final

from hotfire.doctor.source import Module, Reached, Source, parts_of

VERSION: Final = re.compile(r"[a-z0-9.-]+/v\d\w*|v1")
Pair = tuple[str, str]
"""A version and a kind."""
KIND: Final = re.compile(r"[A-Z][A-Za-z]+")


def pairs(one: Reached, source: Source) -> Iterator[Pair]:
    """Yield each pair of a kind and its version that a function writes down."""
    for node in parts_of(one.function):
        if isinstance(node, ast.Tuple) and len(node.elts) == 2:
            words = [next(iter(texts(part, one.module, source)), "") for part in node.elts]
            if KIND.fullmatch(words[0]) and VERSION.fullmatch(words[1]):
                yield words[1], words[0]


def written(one: Reached, source: Source) -> Iterator[Pair]:
    """Yield version and kind of each object that a function writes down."""
    heads = {
        target.id: node.value
        for node in parts_of(one.function)
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    for node in parts_of(one.function):
        if not isinstance(node, ast.Dict):
            continue
        fields = _fields(node, heads)
        kinds = texts(fields.get("kind"), one.module, source)
        for version in texts(fields.get("apiVersion"), one.module, source):
            yield from ((version, kind) for kind in kinds if KIND.fullmatch(kind))


def _fields(node: ast.Dict, heads: Mapping[str, ast.Dict]) -> dict[str, ast.expr]:
    found: dict[str, ast.expr] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        if key is None and isinstance(value, ast.Name) and value.id in heads:
            found |= _fields(heads[value.id], {})
        elif isinstance(key, ast.Constant):
            found[str(key.value)] = value
    return found


def texts(node: ast.expr | None, module: Module, source: Source) -> list[str]:
    """Return the texts that an expression may be, as far as constants say."""
    found: list[str] = []
    match node:
        case ast.Constant(value=str(text)):
            found = [text]
        case ast.JoinedStr(values=parts):
            each = [texts(part, module, source) for part in parts]
            found = ["".join(one[0] for one in each)] if all(each) else []
        case ast.FormattedValue(value=value):
            found = texts(value, module, source)
        case ast.IfExp(body=body, orelse=other):
            found = texts(body, module, source) + texts(other, module, source)
        case ast.Name(id=name):
            found = _named(name, module, source)
    return found


def _named(name: str, module: Module, source: Source) -> list[str]:
    """Return the texts that a constant of a module, or one that it imports, may be."""
    if name in module.constants:
        return texts(module.constants[name], module, source)
    place = source.home(module.imports[name]) if name in module.imports else None
    if place is None or place[1] not in place[0].constants:
        return []
    return texts(place[0].constants[place[1]], place[0], source)


def constants(one: Reached, source: Source) -> Iterator[str]:
    """Yield the texts in a function, and in the constants of its module that it names."""
    for node in parts_of(one.function):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.Name) and node.id in one.module.constants:
            for part in ast.walk(one.module.constants[node.id]):
                yield from texts(part, one.module, source) if isinstance(part, ast.expr) else ()
