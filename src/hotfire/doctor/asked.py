"""What functions ask of the Kubernetes API: read from their calls of ``Cluster``."""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hotfire.agent.janitor import CHANGEABLE
from hotfire.cluster import BETWEEN, KINDS, SCALE
from hotfire.doctor import acts
from hotfire.doctor.place import Where, place_of
from hotfire.doctor.source import Reached, Source, names_in, parts_of
from hotfire.doctor.written import VERSION, Pair, constants, pairs, texts, written


@dataclass(frozen=True, slots=True, order=True)
class Need:
    """One verb on one resource."""

    group: str
    resource: str
    """As paths name it; a path of the API server's own, such as ``/metrics``, begins with ``/``."""
    verb: str
    where: Where = Where.ANYWHERE


def need(version: str, kind: str, verb: str, where: Where = Where.ANYWHERE) -> Need:
    """Return a verb on the resource of a kind."""
    return Need(version.rpartition("/")[0], plural(kind), verb, where)


def plural(kind: str) -> str:
    """Return the resource of a kind, as Kubernetes' own generators name it."""
    word = kind.lower()
    if word.endswith("s"):
        return f"{word}es"
    return f"{word[:-1]}ies" if word.endswith("y") and word[-2] not in "aeiou" else f"{word}s"


@dataclass(frozen=True, slots=True, order=True)
class Unknown:
    """A call of which the source does not say what kind it is about."""

    module: str
    line: int
    text: str


# What a method of Cluster asks for its first argument, a kind.
_OF_KIND: Final[Mapping[str, tuple[str, ...]]] = {
    "get": ("get",),
    "list": ("list",),
    "each": ("list",),
    "delete": ("get", "delete"),
    "patch": ("patch",),
    "would_admit_change": ("patch",),
}
_OF_ALL: Final = frozenset({"list", "each"})
"""Those of them for which no namespace means all of them; for the others, an object of none."""
_IN_NAMESPACES: Final = frozenset(
    {"Secret", "ConfigMap", "Pod", "Service", "ServiceAccount", "Deployment", "StatefulSet"}
    | {"DaemonSet", "Job", "Role", "RoleBinding", "Lease", "ResourceQuota"}
)
"""Kinds that are certainly no objects of no namespace."""
# What the others ask, whatever their arguments: group, resource and verbs.
_FIXED: Final[Mapping[str, tuple[tuple[str, str, tuple[str, ...]], ...]]] = {
    "pods": (("", "pods", ("list",)),),
    "pod": (("", "pods", ("get",)),),
    "nodes": (("", "nodes", ("list",)),),
    "events": (("", "events", ("list",)),),
    "endpoints": (("discovery.k8s.io", "endpointslices", ("list",)),),
    "logs": (("", "pods/log", ("get",)),),
    "exec": (("", "pods/exec", ("create", "get")),),
    "evict": (("", "pods/eviction", ("create",)),),
    "following_pods": (("", "pods", ("list", "watch")),),
    "page_of_pod": (("", "pods/proxy", ("get",)),),
    "allows": (("authorization.k8s.io", "subjectaccessreviews", ("create",)),),
    "server_metrics": (("", "/metrics", ("get",)),),
    "uid": (("", "namespaces", ("get",)),),
    "has_namespace": (("", "namespaces", ("get",)),),
    "create_namespace": (("", "namespaces", ("get", "create")),),
    "delete_namespace": (
        ("", "namespaces", ("get", "delete")), ("", "pods", ("list", "delete")),
    ),
}  # fmt: skip
_OF_DOCUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "apply": ("get", "create", "patch", "delete"),
    "create": ("get", "create", "delete"),
    "replace": ("update",),
    "would_admit": ("create",),
}
# The ways of a library that go past Cluster.
_OF_LIBRARY: Final[Mapping[str, Need]] = {
    "scale_deployment": Need("apps", "deployments/scale", "patch"),
    "scale_statefulset": Need("apps", "statefulsets/scale", "patch"),
    "delete_pods": Need("", "pods", "delete"),
}
_WORKLOADS: Final = frozenset({"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"})
_SCALED: Final = tuple((CHANGEABLE[one.resource][0], one.kind) for one in KINDS)
_BY_SCALE: Final = tuple(one.resource for one in KINDS if not one.part_label)
"""What has a scale subresource, or may have: which of them do, only a cluster tells."""
_OWNERS: Final = (*_SCALED, *BETWEEN)
"""What owns pods, where a check follows their owner references."""
_CLUSTER: Final = re.compile(
    r"(^|[._])(cluster|connection)(\.recording\(.*\)|\.expecting_silence\(\))?$"
)
_OWNER: Final = re.compile("owner|reference")
_CHANGES: Final = re.compile(r"(^|[._])changes$")
_ESTATE: Final = re.compile(r"(^|[._])(estate|belongings)$")


class Asked:
    """Reads what functions ask for; each is read once, for whatever reaches it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._calls: dict[int, list[ast.Call]] = {}
        self._written: dict[int, set[Pair]] = {}
        self._fixed: dict[int, set[Need]] = {}
        self._kinds: dict[int, set[Pair] | None] = {}
        self._outright: dict[int, tuple[set[Need], set[Unknown]]] = {}

    def by(self, reached: Iterable[Reached]) -> tuple[set[Need], set[Unknown]]:
        """Return what some functions ask for, and the calls that do not say it."""
        functions = list(reached)
        needs: set[Need] = set()
        unknown: set[Unknown] = set()
        for one in functions:
            asked, untold = self._asked_outright(one)
            needs |= asked
            unknown |= untold
            for call in self._calls_of(one):
                found = self._by_call(one, call, functions)
                needs |= found or set()
                if found is None:
                    unknown.add(_unknown(one, call))
        return needs, unknown

    def _asked_outright(self, one: Reached) -> tuple[set[Need], set[Unknown]]:
        """Return what a function asks for past ``Cluster``, whoever reaches it."""
        key = id(one.function)
        if key not in self._outright:
            acted = {Need(*act) for act in acts.asked(one, self._source)}
            untold = set() if acted else {_unknown(one, call) for call in acts.asks(one)}
            self._outright[key] = (self._by_library(one) | acted, untold)
        return self._outright[key]

    def _by_call(self, one: Reached, call: ast.Call, among: Sequence[Reached]) -> set[Need] | None:
        """Return what a call asks for; None if it does not say it."""
        method, arguments = _method(call), call.args
        if method in _OF_DOCUMENTS:
            return self._of_documents(one, call, among)
        if id(call) in self._fixed:
            return self._fixed[id(call)]
        if method in _FIXED:
            named = arguments and not method.endswith("namespace") and method != "nodes"
            where = place_of(one, arguments[0]) if named else Where.ANYWHERE
            found = {
                Need(group, resource, verb, where)
                for group, resource, verbs in _FIXED[method]
                for verb in verbs
            }
        elif method == "write":
            found = set(self._of_changes(one, call))
        elif method in _OF_KIND:
            where = place_of(one, arguments[1]) if len(arguments) > 1 else Where.ANYWHERE
            kinds = self._kinds_of(one, call)
            if kinds is None:
                kinds = self._any_kinds(call, among)
                return {
                    need(*pair, verb, where) for pair in kinds for verb in _OF_KIND[method]
                } or None
            found = {need(*pair, verb, where) for pair in kinds for verb in _OF_KIND[method]}
            if any(word.arg == "subresource" for word in call.keywords):
                found |= {each for verb in _OF_KIND[method] for each in _of_scale(verb)}
        else:
            found = set()
        self._fixed[id(call)] = found
        return found

    def _any_kinds(self, call: ast.Call, among: Sequence[Reached]) -> set[Pair]:
        """Return the kinds that a call may be about which names none: those that a run makes."""
        kinds = {pair for each in among for pair in self._written_by(each)}
        if _method(call) in _OF_ALL or not _names_no_namespace(call):
            return kinds
        return {(version, kind) for version, kind in kinds if kind not in _IN_NAMESPACES}

    def _of_changes(self, one: Reached, call: ast.Call) -> Iterator[Need]:
        """Yield what it takes to change an object of the platform for a while."""
        said = texts(call.args[0], one.module, self._source)
        for resource in said or [each.resource for each in KINDS]:
            group = CHANGEABLE[resource][0].rpartition("/")[0]
            yield from (Need(group, resource, verb, Where.PLATFORM) for verb in ("get", "patch"))
        if not said:
            yield from (each for verb in ("get", "patch") for each in _of_scale(verb))

    def _of_documents(
        self, one: Reached, call: ast.Call, among: Sequence[Reached]
    ) -> set[Need] | None:
        given = next((k.value for k in call.keywords if k.arg == "namespace"), None)
        where = place_of(one, given) if given is not None else Where.ANYWHERE
        near = self._written_near(one, among)
        if where is Where.PLATFORM and _method(call) == "apply":
            # Nothing is put there but the reference stack, which says what it is.
            near = self._written_by(one)
            return {need(*pair, verb, where) for pair in near for verb in _OF_DOCUMENTS["apply"]}
        verbs = _OF_DOCUMENTS[_method(call)]
        if _method(call) == "create" and not _ESTATE.search(_receiver(call)):
            # Whoever makes one and no more asks no more; an estate finds it again, and removes it.
            verbs = ("create",)
        return {need(*pair, verb, where) for pair in near for verb in verbs} or None

    def _written_near(self, one: Reached, among: Sequence[Reached]) -> set[Pair]:
        """Return the kinds of the objects that are meant: those written nearest to the call."""
        named = {name for name, _ in names_in(one.function)}
        called = (each for each in among if each.function.name in named)
        nearby = (each for each in among if each.module is one.module)
        for some in ([one], called, nearby, among):
            if found := {pair for each in some for pair in self._written_by(each)}:
                return found
        return set()

    def _written_by(self, one: Reached) -> set[Pair]:
        key = id(one.function)
        if key not in self._written:
            self._written[key] = set(written(one, self._source))
        return self._written[key]

    def _calls_of(self, one: Reached) -> list[ast.Call]:
        key = id(one.function)
        if key not in self._calls:
            self._calls[key] = list(_calls(one))
        return self._calls[key]

    def _kinds_of(self, one: Reached, call: ast.Call) -> set[Pair] | None:
        if id(call) not in self._kinds:
            self._kinds[id(call)] = _kinds(one, call, self._source)
        return self._kinds[id(call)]

    def _by_library(self, one: Reached) -> set[Need]:
        names = {name for name, _ in names_in(one.function)}
        return {_OF_LIBRARY[name] for name in names & _OF_LIBRARY.keys()}


def _of_scale(verb: str) -> Iterator[Need]:
    """Yield a verb on every scale subresource that may be there."""
    for resource in _BY_SCALE:
        group = CHANGEABLE[resource][0].rpartition("/")[0]
        yield Need(group, f"{resource}/{SCALE}", verb, Where.PLATFORM)


def _unknown(one: Reached, call: ast.Call) -> Unknown:
    return Unknown(one.module.name, call.lineno, ast.unparse(call)[:100])


def _calls(reached: Reached) -> Iterator[ast.Call]:
    """Yield the calls of the methods of a cluster, or of what makes objects in one."""
    for node in parts_of(reached.function):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        receiver = ast.unparse(node.func.value)
        made = node.func.attr == "create" and _ESTATE.search(receiver)
        made = made or (node.func.attr == "write" and _CHANGES.search(receiver))
        if made or _CLUSTER.search(receiver):
            yield node


def _method(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _names_no_namespace(call: ast.Call) -> bool:
    namespace = call.args[1] if len(call.args) > 1 else None
    return isinstance(namespace, ast.Constant) and namespace.value is None


def _receiver(call: ast.Call) -> str:
    return ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""


def _kinds(one: Reached, call: ast.Call, source: Source) -> set[Pair] | None:
    """Return version and kind of a call: as it says, else as its function's constants say.

    None: what was made and is looked for again, so that it may be whatever a run makes.
    """
    given = next((k.value for k in call.keywords if k.arg == "api_version"), None)
    kinds = set(texts(call.args[0], one.module, source)) if call.args else set()
    versions = {"v1"} if given is None else set(texts(given, one.module, source))
    if kinds and not versions:
        versions = {text for text in constants(one, source) if VERSION.fullmatch(text)}
    if kinds or not call.args:
        return {(version, kind) for version in versions for kind in kinds}
    if _OWNER.search(ast.unparse(call.args[0])):
        return set(_SCALED if _method(call) == "patch" else _OWNERS)
    named = _WORKLOADS & set(constants(one, source))
    return set(pairs(one, source)) or {("apps/v1", kind) for kind in named} or None
