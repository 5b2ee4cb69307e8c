"""A target file of what was found: each value with its place, each guess marked as one."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

from hotfire.discovery.found import Found
from hotfire.discovery.parts import in_words
from hotfire.discovery.routes import Door
from hotfire.discovery.said import Said, guess
from hotfire.discovery.workloads import Workload
from hotfire.profile import Role

_WIDTH: Final = 34
_OTHER_REFERENCES: Final = "${file:/PATH}, ${secret:NAMESPACE/NAME/KEY}"
_BUDGETS: Final = "mlperf-llama3.1-8b"
_NAMED: Final = 8
"""Of many alike, so many are told; a platform may have thousands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Which cluster was looked at, as the operator named it."""

    context: str | None = None
    kubeconfig: str | None = None
    namespace: str | None = None


def target_file(found: Found, origin: Origin) -> str:
    """Return the text of a target file."""
    lines = [
        "# Written by `hotfire init`. Behind each value stands where it was found. What is marked",
        "# `# guessed` nothing in the cluster says: read those lines first, then `hotfire doctor`.",
        *_top(found, origin),
        "gateway:",
        *map(_indented, _gateway(found)),
        "engine:",
        *map(_indented, _engine(found)),
        "stack:",
        *map(_indented, _stack(found)),
        "accelerator:",
        *map(_indented, _accelerator(found)),
        *_claims(found),
        *_components(found),
        *_rest(found),
        *_notes(found),
    ]
    return "\n".join(lines) + "\n"


def _line(key: str, said: Said[Any]) -> str:
    text = f"{key}: {_value(said.value)}"
    mark = "guessed: " if said.guessed else ""
    return f"{text:<{_WIDTH}} # {mark}{said.where}"


def _value(value: object) -> str:
    """Return a value as YAML has it on one line; JSON is YAML, a plain word needs no quotes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_value(key)}: {_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    text = json.dumps(value)
    plain = isinstance(value, str) and value.replace("-", "").replace("_", "").isalpha()
    return str(value) if plain and str(value).lower() not in _WORDS else text


_WORDS: Final = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def _indented(line: str) -> str:
    return f"  {line}"


def _top(found: Found, origin: Origin) -> Iterator[str]:
    yield _line("name", guess(origin.context or "target", "the context's name; say it your way"))
    if origin.kubeconfig:
        yield _line("kubeconfig", Said(origin.kubeconfig, "what init was told"))
    if origin.context:
        yield _line("context", Said(origin.context, "what init was told"))
    if found.engine:
        yield _line("namespace", Said(found.engine.namespace, f"where {found.engine} is"))


def _gateway(found: Found) -> Iterator[str]:
    door = next(iter(found.ways.doors), None)
    if door is None:
        yield _line("url", guess("http://gateway.invalid", "nothing with an address leads there"))
        return
    yield _line("url", Said(door.url, door.where, guessed=door.guessed))
    yield from _names(door)
    if door.url.startswith("https:"):
        yield "# ca_file: ca.pem               # if a private authority vouches for it"
    yield f"# bearer_token: ${{env:API_KEY}}  # if it wants a key; or {_OTHER_REFERENCES}"
    for other in found.ways.doors[1:4]:
        yield f"# or {other.url}: {other.where}"


def _names(door: Door) -> Iterator[str]:
    if door.class_name:
        yield _line("class_name", Said(door.class_name, "gatewayClassName of that Gateway"))
    if door.base_path:
        yield _line("base_path", Said(door.base_path, door.path_where))
    if door.host:
        place = "name that its listener or its route wants"
        yield _line("host", Said(door.host, place))
        if door.url.startswith("https:"):
            yield _line("server_name", Said(door.host, place))


def _engine(found: Found) -> Iterator[str]:
    names = found.models.value or ("unknown",)
    yield _line("model", Said(names[0], found.models.where, guessed=found.models.guessed))
    if len(names) > 1:
        yield _line("aliases", guess(list(names[1:]), found.models.where))
    if (engine := found.engine) is None:
        return
    container = engine.container
    yield _line("kind", found.kind)
    yield _line("selector", engine.selector)
    yield _line("container", Said(container.name, f"it holds {engine.held} in each pod"))
    if container.port:
        where = "its probes and containerPorts"
        yield _line("port", Said(container.port, where, guessed=not container.ports))
    for probe in container.probes:
        yield f"# {probe.kind}: {probe.scheme} {probe.path} on {probe.port}"
    for rival in found.rivals[:_NAMED]:
        yield f"# or {rival}: {len(rival.pods)} pods with {rival.held} look like an engine, too"
    yield from _more(found.rivals, "look like an engine, too")


def _stack(found: Found) -> Iterator[str]:
    if found.engine is None:
        yield _line("deploy", guess(True, "no engine runs; hotfire deploys its reference stack"))
        return
    yield _line("deploy", Said(False, f"{found.engine} already serves"))
    weights = next((door.weights for door in found.ways.doors if len(door.weights) > 1), ())
    if weights and sum(weights):
        least = round(100 * min(weights) / sum(weights))
        yield _line("canary_weight", Said(least, f"weights {list(weights)} of the HTTPRoute"))
    if found.roles:
        yield "roles:"
        yield from (_indented(_line(role, said)) for role, said in found.roles.items())


def _accelerator(found: Found) -> Iterator[str]:
    resource = found.hardware.resource(found.engine.container.resources if found.engine else ())
    yield _line("resource", resource)
    yield _line("taint_key", found.hardware.taint_key(resource.value))
    yield _line("node_selector", found.hardware.node_selector(resource.value))
    if found.hardware.drivers:
        yield f"# devices by ResourceSlices of {', '.join(found.hardware.drivers)}"


def _claims(found: Found) -> Iterator[str]:
    claims = dict(_claimed(found))
    why = "; ".join(f"{name}: {place}" for name, place in claims.items()) or "nothing was seen"
    yield _line("claims", guess(list(claims), why))


def _claimed(found: Found) -> Iterator[tuple[str, str]]:
    if any(len(door.weights) > 1 for door in found.ways.doors):
        yield "canary", "an HTTPRoute with weights"
    resource = found.hardware.resource(found.engine.container.resources if found.engine else ())
    if not found.hardware.taint_key(resource.value).guessed:
        yield "device-taints", "taints of the nodes"
    if found.parts.gang_kinds:
        yield "gang-scheduling", " and ".join(found.parts.gang_kinds)
    if found.parts.prometheus():
        yield "metrics-store", "Prometheus"
    if found.quotas:
        yield "quotas", "a ResourceQuota"


def _components(found: Found) -> Iterator[str]:
    named = {role: found.parts.of(role) for role in get_args(Role)}
    running = {
        role: [one for one in some if one.kind != "DaemonSet"] for role, some in named.items()
    }
    if not any(running.values()):
        return
    places = sorted({some[0].namespace for some in running.values() if some})
    yield "# Faults may touch the platform's own namespace only. To let them take these parts away,"
    yield f"# too, set allowed_namespaces to it and {_value(places)}."
    yield "components:"
    for role, some in running.items():
        if some:
            one = some[0]
            fields = {"namespace": one.namespace, "name": one.name, "kind": one.kind}
            yield _indented(_line(role, guess(fields, f"by the name of {one}")))


def _rest(found: Found) -> Iterator[str]:
    yield _line("budgets", guess(_BUDGETS, "the SLO is yours to promise; a preset or your limits"))
    if prometheus := found.parts.prometheus():
        yield _line("prometheus_url", prometheus[0])
    if rack := found.hardware.rack_label():
        yield f"fabric: {{rack_label: {_value(rack.value)}}} # {rack.where}"


def _more(some: Sequence[Workload], what: str) -> Iterator[str]:
    """Yield how many there are beyond those that are named."""
    if (more := len(some) - _NAMED) > 0:
        yield f"#   and {more} more workloads {what}"


def _notes(found: Found) -> Iterator[str]:
    yield "# Seen besides:"
    yield f"#   InferencePools: {', '.join(found.ways.pools) or 'none'}; Services:" + (
        f" {', '.join(found.ways.services) or 'none'}"
    )
    for part in ("device plugin", "dra driver", "gang scheduler", "routing daemon"):
        yield f"#   {part}: {in_words(found.parts.of(part))}"
    if found.parts.of("gang scheduler") and not found.parts.gang_kinds:
        yield "#     not claimed as gang-scheduling: how it is asked for a gang is not known here"
    yield f"#   scaling: {', '.join(found.parts.scaled) or 'none seen'}"
    likely = {id(one) for one in (found.engine, *found.rivals)}
    others = [one for one in found.holders if id(one) not in likely]
    yield from (f"#   also holds {one.held}: {one}" for one in others[:_NAMED])
    yield from _more(others, "hold accelerators, too")
    for what, why in sorted(found.unseen.items()):
        yield f"# Not seen: {what}: {' '.join(why.split())}"
