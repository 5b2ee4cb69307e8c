"""The parts that pods of a platform play, and the labels by which the target file knows them."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

PodRole = Literal["engine", "prefill", "decode", "router", "picker", "canary"]
LabelKey = Annotated[
    str, Field(pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?\w([-\w.]{0,61}\w)?$")
]
LabelValue = Annotated[str, Field(pattern=r"^(\w([-\w.]{0,61}\w)?)?$")]
Selector = Annotated[dict[LabelKey, LabelValue], Field(min_length=1)]


def require_apart(roles: Mapping[PodRole, Selector]) -> None:
    """Make sure that no two roles have one selector.

    Raises:
        ValueError: two have; who does both halves of the work is an engine, and nothing else.
    """
    seen: dict[frozenset[tuple[str, str]], str] = {}
    for role, selector in roles.items():
        other = seen.setdefault(frozenset(selector.items()), role)
        if other != role:
            raise ValueError(f"{role} has the selector of {other}; name labels that differ")


def with_engine_role(value: object) -> object:
    """Return a target file with ``stack.roles.engine``, if it is there, as the engine's selector.

    Raises:
        ValueError: ``engine.selector`` says otherwise.
    """
    if not isinstance(value, dict):
        return value
    stack, engine = value.get("stack"), value.get("engine")
    roles = stack.get("roles") if isinstance(stack, dict) else None
    role = roles.get("engine") if isinstance(roles, dict) else None
    if role is None or not isinstance(engine, dict):
        return value
    if engine.get("selector", role) != role:
        raise ValueError(
            f"stack.roles.engine: engine.selector says {engine['selector']}; remove one of them"
        )
    return {**value, "engine": {**engine, "selector": role}}
