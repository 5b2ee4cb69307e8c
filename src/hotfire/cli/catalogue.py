"""Every requirement in the checkout, read from the files without importing them.

Importing a suite would need the libraries, the fixtures and the time of a run.
"""

import ast
import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, cast

from hotfire import yaml_text
from hotfire.errors import ProfileError
from hotfire.requirement import Level, Requirement, Scope, split_prose


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """One requirement and the file that decides it.

    Paths are relative to the root; of a folder of the operator's own they are absolute.

    ``steps`` are the cases of a check, or the actions and probes of a fault, each with what it
    says about itself. ``limits`` are a fault's blast radius and budgets.
    """

    requirement: Requirement
    kind: Literal["check", "fault"]
    area: str
    path: Path
    twin: Path | None
    steps: tuple[tuple[str, str], ...]
    limits: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """What an operator may call it by: its id or its area, in lower case."""
        return frozenset({self.requirement.id.casefold(), self.area.casefold()})


_Told = tuple[tuple[str, str], ...]
_COMPANIONS: Final = "COMPANIONS"
"""What a twin's file calls the checks that fall with it beside its own, each with the reason."""


def entries(root: Path, own: Path | None = None) -> list[CatalogueEntry]:
    """Return every check and fault below a root, ordered by kind, area and id.

    Args:
        root: Holds suites/ and experiments/.
        own: A folder of the operator's own, with the same two or one of them.

    Raises:
        ProfileError: a file does not say what it requires in the usual way, an id is there twice,
            or the operator's folder holds none.
    """
    found = [*_below(root), *(_own(own.resolve(), root) if own else ())]
    decided_by: dict[str, Path] = {}
    for entry in found:
        id_, other = entry.requirement.id, decided_by.setdefault(entry.requirement.id, entry.path)
        if other is not entry.path:
            raise ProfileError(f"{id_} is decided by both {other} and {entry.path}; ids are unique")
    return sorted(found, key=lambda e: (e.kind, e.area, e.requirement.id))


def _below(root: Path) -> Iterator[CatalogueEntry]:
    yield from (_check(path, root) for path in sorted(root.glob("suites/*/test_*.py")))
    yield from (_fault(path, root) for path in sorted(root.glob("experiments/*/*.yaml")))


def _own(folder: Path, root: Path) -> list[CatalogueEntry]:
    """Return what the operator's folder holds; whether it can fail is proven there, if it is."""
    found = list(_below(folder))
    for entry in found:
        if (root / entry.path).exists():
            raise ProfileError(f"--suites: {entry.path} is hotfire's own: give yours another name")
    if not found:
        raise ProfileError(
            f"--suites: {folder} holds neither suites/AREA/test_*.py nor experiments/AREA/*.yaml"
        )
    return [
        replace(entry, path=folder / entry.path, twin=entry.twin and folder / entry.twin)
        for entry in found
    ]


def refuse_unknown(words: Iterable[str], known: Iterable[CatalogueEntry]) -> None:
    """Refuse a word that is neither an id nor an area, before anything is brought up for it.

    Raises:
        ProfileError: it is neither; the message offers what comes closest.
    """
    names = {name for entry in known for name in entry.names}
    for word in words:
        if word.casefold() not in names:
            near = difflib.get_close_matches(word.casefold(), names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see hotfire list"
            raise ProfileError(f"no requirement or area {word!r}; {hint}")


def named(words: Iterable[str], known: Iterable[CatalogueEntry]) -> list[CatalogueEntry]:
    """Return what an operator names by ids and areas; everything if he names nothing.

    Raises:
        ProfileError: a word is neither.
    """
    wanted, found = {word.casefold() for word in words}, list(known)
    refuse_unknown(wanted, found)
    return [entry for entry in found if not wanted or entry.names & wanted]


def companions(entry: CatalogueEntry, root: Path) -> dict[str, str]:
    """Return which other checks of its area fall with a check's twin, and why, as that declares it.

    Raises:
        ProfileError: what it declares is no mapping of ids to sentences.
    """
    if entry.twin is None:
        return {}
    declared: Any = {}
    for node in ast.parse((root / entry.twin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            declared = _constant(node.targets[0].id, node.value).get(_COMPANIONS, declared)
    pairs = declared.items() if isinstance(declared, dict) else [(None, None)]
    if not all(isinstance(text, str) and text for pair in pairs for text in pair):
        raise ProfileError(f"{entry.twin}: {_COMPANIONS} maps ids to one sentence each, or nothing")
    return dict(pairs)


def _check(path: Path, root: Path) -> CatalogueEntry:
    relative = path.relative_to(root)
    try:
        claim, cases = _read_check(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError, TypeError, KeyError) as error:
        raise ProfileError(f"{relative}: cannot read its requirement: {error}") from error
    twin = Path("tests") / "defects" / path.name.removeprefix("test_")
    return CatalogueEntry(
        requirement=claim,
        kind="check",
        area=path.parent.name,
        path=relative,
        twin=next((t for t in (twin, twin.with_name(path.name)) if (root / t).exists()), None),
        steps=cases,
    )


@cache
def _read_check(text: str) -> tuple[Requirement, _Told]:
    """Return what a check requires, and its cases; a run asks for the same files several times."""
    module = ast.parse(text)
    return _claim(module), tuple(_cases(module))


def _claim(module: ast.Module) -> Requirement:
    """Return what the call of ``requirement`` in ``pytestmark`` says."""
    names: dict[str, Any] = {"__doc__": ast.get_docstring(module)}
    call: ast.Call | None = None
    for node in module.body:
        if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)):
            continue
        if node.targets[0].id == "pytestmark":
            call = _requirement_call(node.value)
        else:
            names |= _constant(node.targets[0].id, node.value)
    if call is None:
        raise ValueError("no pytestmark = requirement(...)")
    id_, level, prose = (_value(argument, names) for argument in call.args)
    facts = {str(word.arg): _value(word.value, names) for word in call.keywords}
    facts["features"] = frozenset(facts.get("features", ()))
    facts["scope"] = Scope(str(facts.get("scope", Scope.FULL)).lower())
    statement, rationale = split_prose(prose)
    return Requirement(
        id=id_, level=Level(level), statement=statement, rationale=rationale, **facts
    )


def _requirement_call(value: ast.expr) -> ast.Call | None:
    marks = value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
    calls = [mark for mark in marks if isinstance(mark, ast.Call)]
    return next((c for c in calls if ast.unparse(c.func).split(".")[-1] == "requirement"), None)


def _constant(name: str, value: ast.expr) -> dict[str, Any]:
    try:
        return {name: ast.literal_eval(value)}
    except (ValueError, TypeError):
        return {}


def _value(node: ast.expr, names: dict[str, Any]) -> Any:  # noqa: ANN401 - any literal
    """Return what a literal, a constant of the module, a Level or a set of literals is."""
    if isinstance(node, ast.Name):
        return names[node.id]
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Call):
        return _value(node.args[0], names) if node.args else frozenset()
    return ast.literal_eval(node)


def _cases(module: ast.Module) -> list[tuple[str, str]]:
    functions = [
        node
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test")
    ]
    return [(node.name, _first_line(ast.get_docstring(node))) for node in functions]


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _fault(path: Path, root: Path) -> CatalogueEntry:
    relative = path.relative_to(root)
    try:
        claim, steps, limits = _read_fault(path.read_text(encoding="utf-8"))
    except (StopIteration, KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ProfileError(f"{relative}: cannot read its extensions: {reason}") from error
    return CatalogueEntry(
        requirement=claim,
        kind="fault",
        area=path.parent.name,
        path=relative,
        twin=None,
        steps=steps,
        limits=limits,
    )


@cache
def _read_fault(text: str) -> tuple[Requirement, _Told, _Told]:
    """Return what a fault requires, its steps and its limits."""
    document = yaml_text.read(text)
    block = next(e for e in document["extensions"] if e["name"] == "hotfire")
    claim = Requirement(
        id=block["id"],
        level=Level(block["level"]),
        statement=" ".join(document["title"].split()),
        rationale=document["description"].strip(),
        source=block["source"],
        features=frozenset(block.get("features", ())),
        scope=Scope(block.get("scope", Scope.FULL)),
        cncf=block.get("cncf"),
    )
    return claim, tuple(_steps(document)), tuple(_limits(block))


def _steps(document: dict[str, Any]) -> list[tuple[str, str]]:
    hypothesis = document.get("steady-state-hypothesis", {}).get("probes", [])
    parts = {
        "steady state": hypothesis,
        "method": document.get("method", []),
        "rollback": document.get("rollbacks", []),
    }
    return [
        (activity["name"], f"{part}: {activity['provider'].get('func', '')}")
        for part, activities in parts.items()
        for activity in cast("list[dict[str, Any]]", activities)
    ]


def _limits(block: dict[str, Any]) -> list[tuple[str, str]]:
    parts = ("targets", "steps", "hold_seconds", "seen", "gone", "repaired_by")
    words = [(name.replace("_", " "), _in_words(block[name])) for name in parts if name in block]
    return words + [(f"budget: {key}", str(value)) for key, value in _items(block, "budgets")]


def _in_words(value: object) -> str:
    """Return what a fault's file says in words, such as `engine-pods, count 1`."""
    if isinstance(value, list):
        return ", then ".join(map(_in_words, value))
    if not isinstance(value, dict):
        return str(value)
    arguments = [f"{key} {each}" for key, each in value.items() if key != "word"]
    return ", ".join([str(value.get("word", "")), *arguments])


def _items(block: dict[str, Any], name: str) -> list[tuple[str, Any]]:
    value = block.get(name)
    return list(value.items()) if isinstance(value, dict) else []
