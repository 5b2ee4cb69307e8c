"""The scripted stack beside prefill and decode pods, as ``overlays/disaggregated`` says."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.overlays import Change, added, as_it_is, beside
from tests.world import World

PREFILL, DECODE, ROUTER = (f"disaggregated-{name}" for name in ("prefill", "decode", "router"))
BASE_PATH = "/disaggregated"
PREFILLS_PER_DECODE, LOSS_SECONDS = 4, 20.0
"""As its router is told; and above the lease of its KV blocks."""


@contextmanager
def disaggregated(world: World, change: Change = as_it_is) -> Iterator[None]:
    """Have them, and a target file that says so; ``change`` each object before."""
    made = added(world, "disaggregated")
    for document in made:
        change(document)
    with beside(world, made, base_path=BASE_PATH), world.target_says(**_declared(world)):
        yield


def _declared(world: World) -> dict[str, Any]:
    roles = {"prefill": PREFILL, "decode": DECODE, "router": ROUTER}
    return {
        "claims": ["disaggregation", "prefill-admission"],
        "gateway": {"base_path": BASE_PATH},
        "stack": {"roles": {role: {"app": app} for role, app in roles.items()}},
        "disaggregation": {
            "prefills_per_decode": PREFILLS_PER_DECODE,
            "loss_seconds": LOSS_SECONDS,
        },
    }
