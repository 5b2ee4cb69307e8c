"""The operator makes everything anew when it starts: what it finds may be from an older version."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from tests.serving_operator import operated, rewritten
from tests.world import World

SHORT = {"hold_seconds": 5.0}
STARTS = "    operator = Operator(Api(), accelerator)\n"
ANEW = """\
    for one in Api().get(f"/apis/apps/v1/statefulsets?labelSelector={NAME}")["items"]:
        found = one["metadata"]
        Api().delete(f"/apis/apps/v1/namespaces/{found['namespace']}/statefulsets/{found['name']}")
"""
prepared = partial(operated, measurement=SHORT)


@contextmanager
def broken(world: World) -> Iterator[None]:
    with operated(world, rewritten(STARTS, STARTS + ANEW), measurement=SHORT):
        yield
