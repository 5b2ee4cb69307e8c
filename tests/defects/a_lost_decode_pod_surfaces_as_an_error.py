"""The router answers 200 without a word where the pod that had a request is gone."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.disaggregated import disaggregated
from tests.overlays import rewritten
from tests.world import World

prepared = disaggregated
TELLS = "return refused(HTTPStatus.BAD_GATEWAY, str(error))"


@contextmanager
def broken(world: World) -> Iterator[None]:
    with disaggregated(world, rewritten("router.py", TELLS, "return Answer(HTTPStatus.OK)")):
        yield
