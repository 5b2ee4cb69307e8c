"""The gateway copies requests by a program of its own, and each user waits for the copy's answer.

Nothing is lost: every request is copied once, and answered rightly.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from fixtures.own_backends import HEADER
from hotfire.waiting import until
from tests.world import World

MIRRORED = "mirrored"
# The check's rules stand behind those of the engines: with a shadow, without, the shadow's own.
SHADOWS_RULE = 2
WAIT_MILLISECONDS = 5000
GROUP = "gateway.networking.k8s.io"
# The gateway makes no copies of its own.
EXPRESSION = """
[0, 1, 2, 3, 4].filter(index, index < size(object.spec.rules)
    && has(object.spec.rules[index].filters)
    && object.spec.rules[index].filters.exists(one, one.type == "RequestMirror"))
.map(index, JSONPatch{op: "remove", path: "/spec/rules/" + string(index) + "/filters"})
"""


@contextmanager
def broken(world: World) -> Iterator[None]:
    try:
        with world.admission_changes(GROUP, "httproutes", EXPRESSION):
            until(lambda: not _copies(world), within_seconds=60, what="the policy in force")
            with world.gateway_program(on_request=_program(world)):
                yield
    finally:
        until(lambda: _copies(world), within_seconds=60, what="the policy gone")


def _program(world: World) -> str:
    """Return what sends a request to the shadow first, and waits for its answer."""
    route = world.stack.way_in()
    place, rules = route["metadata"]["name"], len(route["spec"]["rules"])
    cluster = f"httproute/{world.profile.namespace}/{place}/rule/{rules + SHADOWS_RULE}"
    return f"""
        if handle:headers():get("{HEADER}") == "{MIRRORED}" then
            local copy = {{
                [":method"] = "POST",
                [":path"] = handle:headers():get(":path"),
                [":authority"] = "shadow",
                ["content-type"] = "application/json",
            }}
            local body = handle:body()
            local text = body:getBytes(0, body:length())
            handle:httpCall("{cluster}", copy, text, {WAIT_MILLISECONDS})
        end
    """


def _copies(world: World) -> bool:
    """Return whether a route keeps a filter that copies requests, once it is stored."""
    backend = {"name": "canary", "port": 80}
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": backend}}
    route = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "probe"},
        "spec": {"rules": [{"filters": [mirror], "backendRefs": [backend]}]},
    }
    answer = world.cluster.would_admit(route, namespace=world.profile.namespace)
    [rule] = answer.document["spec"]["rules"]
    return bool(rule.get("filters"))
