"""What a check or a fault reaches in the source: functions, read from the syntax, never run.

A function reaches what it names. A method is reached once its name is called and its class is
named; that is more than ever runs, never less.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Final

Function = ast.FunctionDef | ast.AsyncFunctionDef
_BY_ITSELF: Final = ("__init__", "__post_init__", "__enter__", "__exit__", "__call__", "__iter__")
_FIXTURES: Final = "fixtures"


@dataclass(frozen=True)
class Module:
    """One file."""

    name: str
    tree: ast.Module

    @cached_property
    def imports(self) -> Mapping[str, str]:
        """What each imported name stands for, dotted."""
        found: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
            elif isinstance(node, ast.Import):
                found |= {one.asname or one.name: one.name for one in node.names}
        return found

    @cached_property
    def functions(self) -> Mapping[str, Function]:
        return {one.name: one for one in self.tree.body if isinstance(one, Function)}

    @cached_property
    def classes(self) -> Mapping[str, ast.ClassDef]:
        return {one.name: one for one in self.tree.body if isinstance(one, ast.ClassDef)}

    @cached_property
    def defined(self) -> frozenset[str]:
        return frozenset({*self.functions, *self.classes, *self.constants})

    @cached_property
    def constants(self) -> Mapping[str, ast.expr]:
        """The value of each name that the module itself assigns."""
        found: dict[str, ast.expr] = {}
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                found[node.targets[0].id] = node.value
            elif (
                isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value
            ):
                found[node.target.id] = node.value
        return found


@dataclass(frozen=True)
class Reached:
    """One function that is reached, with its module and its class."""

    module: Module
    function: Function
    owner: ast.ClassDef | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """What a part of a file names of the project."""

    called: frozenset[str]
    """Names of methods and attributes that it asks for, of whatever object."""
    functions: tuple[Reached, ...]
    classes: tuple[tuple[Module, ast.ClassDef], ...]


class Source:
    """The files of the project; each is read when it is first named."""

    def __init__(self, root: Path, package: Path) -> None:
        """Take the folder of suites and fixtures, and that of the package ``hotfire``."""
        self._root, self._package = root, package
        self._modules: dict[str, Module | None] = {}
        self._homes: dict[str, tuple[Module, str] | None] = {}
        self._named: dict[int, Named] = {}

    def module(self, name: str) -> Module | None:
        """Return the module of a dotted name; None if it is none of the project's."""
        if name not in self._modules:
            self._modules[name] = self._read(name)
        return self._modules[name]

    def _read(self, name: str) -> Module | None:
        first, *rest = name.split(".")
        base = self._package if first == self._package.name else self._root / first
        for path in (base.joinpath(*rest).with_suffix(".py"), base.joinpath(*rest, "__init__.py")):
            if path.is_file():
                return _module(name, path.read_bytes())
        return None

    @cached_property
    def fixtures(self) -> Mapping[str, Module]:
        """The module of each fixture, by the fixture's name."""
        found: dict[str, Module] = {}
        for path in sorted((self._root / _FIXTURES).glob("*.py")):
            module = self.module(f"{_FIXTURES}.{path.stem}")
            if module is not None:
                found |= {n: module for n, one in module.functions.items() if _is_fixture(one)}
        return found

    def home(self, name: str) -> tuple[Module, str] | None:
        """Return the module in which a dotted name is defined, and its name there."""
        if name not in self._homes:
            self._homes[name] = self._home(name)
        return self._homes[name]

    def _home(self, name: str) -> tuple[Module, str] | None:
        for _ in range(4):  # a package hands on what its modules define
            place, _, last = name.rpartition(".")
            module = self.module(place)
            if module is None or last in module.defined:
                return (module, last) if module else None
            name = module.imports.get(last, "")
        return None

    def named(self, module: Module, node: ast.AST) -> Named:
        """Return what a part of a module names; looked up once, for many checks reach the same."""
        if id(node) not in self._named:
            self._named[id(node)] = self._look_up(module, names_in(node))
        return self._named[id(node)]

    def _look_up(self, module: Module, names: Iterable[tuple[str, str]]) -> Named:
        found = {self._place(module, *pair) for pair in names if pair[0]}
        places = [place for place in found if place is not None]
        return Named(
            called=frozenset(attribute for _, attribute in names if attribute),
            functions=tuple(Reached(m, m.functions[n]) for m, n in places if n in m.functions),
            classes=tuple((m, m.classes[n]) for m, n in places if n in m.classes),
        )

    def _place(self, module: Module, name: str, attribute: str) -> tuple[Module, str] | None:
        """Return the module in which a name of another is defined, and its name there."""
        if name not in module.imports:
            return module, name
        imported = module.imports[name]
        of_it = self.home(f"{imported}.{attribute}") if attribute else None
        return of_it or self.home(imported)


@dataclass
class Reach:
    """Everything that some functions reach. ``leaves`` are modules that are not looked into."""

    source: Source
    leaves: tuple[str, ...]
    functions: dict[int, Reached] = field(default_factory=dict)
    fixtures: set[str] = field(default_factory=set)
    """Names of the fixtures that are asked for, in any way."""
    called: set[str] = field(default_factory=set)
    """Names of the methods and attributes that are asked for, of whatever object."""
    _classes: set[int] = field(default_factory=set)
    _waiting: dict[str, list[Reached]] = field(default_factory=dict)
    """Methods of the classes that are reached, whose names nobody has called yet."""

    def add_module(self, module: Module) -> None:
        """Reach everything in a module."""
        for function in module.functions.values():
            self._function(Reached(module, function))
        for one in module.classes.values():
            self._class(module, one)
            for method in _methods(one).values():
                self._function(Reached(module, method, one))

    def add_fixtures(self, names: Iterable[str]) -> None:
        """Reach fixtures by their names."""
        for name in names:
            self._fixture(name)

    def _fixture(self, name: str) -> None:
        module = self.source.fixtures.get(name)
        if module is not None and name not in self.fixtures:
            self.fixtures.add(name)
            self._function(Reached(module, module.functions[name]))

    def _function(self, reached: Reached) -> None:
        if id(reached.function) in self.functions or self._is_leaf(reached.module):
            return
        self.functions[id(reached.function)] = reached
        if not reached.module.name.startswith("hotfire"):
            for name in _parameters(reached.function):
                self._fixture(name)
        self._names(reached.module, reached.function)

    def _names(self, module: Module, node: ast.AST) -> None:
        named = self.source.named(module, node)
        for name in named.called - self.called:
            self._call(name)
        for function in named.functions:
            self._function(function)
        for place in named.classes:
            self._class(*place)

    def _class(self, module: Module, node: ast.ClassDef) -> None:
        if id(node) in self._classes or self._is_leaf(module):
            return
        self._classes.add(id(node))
        for part in (*node.bases, *(one for one in node.body if not isinstance(one, Function))):
            self._names(module, part)
        for name, method in _methods(node).items():
            reached = Reached(module, method, node)
            if name in _BY_ITSELF or name in self.called:
                self._function(reached)
            else:
                self._waiting.setdefault(name, []).append(reached)

    def _call(self, name: str) -> None:
        if name in self.called:
            return
        self.called.add(name)
        for reached in self._waiting.pop(name, ()):
            self._function(reached)

    def _is_leaf(self, module: Module) -> bool:
        return module.name.startswith(self.leaves)

    def __iter__(self) -> Iterator[Reached]:
        return iter(self.functions.values())


@cache
def _module(name: str, content: bytes) -> Module:
    """Return a module; a process that asks for several targets reads it once."""
    return Module(name, ast.parse(content))


@cache
def parts_of(node: ast.AST) -> tuple[ast.AST, ...]:
    """Return a part of a file and everything in it; walked once, for much is looked for there."""
    return tuple(ast.walk(node))


@cache
def names_in(node: ast.AST) -> frozenset[tuple[str, str]]:
    """Return each name that a part of a file names, with the attribute that it asks of it.

    Read once: many checks reach the same functions.
    """
    return frozenset(_names(node))


def _names(node: ast.AST) -> Iterator[tuple[str, str]]:
    for one in parts_of(node):
        if isinstance(one, ast.Name):
            yield one.id, ""
        elif isinstance(one, ast.Attribute):
            yield (one.value.id if isinstance(one.value, ast.Name) else ""), one.attr


def _methods(node: ast.ClassDef) -> Mapping[str, Function]:
    return {one.name: one for one in node.body if isinstance(one, Function)}


def _parameters(function: Function) -> list[str]:
    arguments = function.args
    return [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]


def _is_fixture(function: Function) -> bool:
    return any("fixture" in ast.unparse(one) for one in function.decorator_list)
