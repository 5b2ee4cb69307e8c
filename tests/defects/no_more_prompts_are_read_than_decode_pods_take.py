"""The ratio is rounded down before it is compared: each decode pod but one gets one more."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.disaggregated import disaggregated
from tests.overlays import rewritten
from tests.world import World

prepared = disaggregated
EXACT = "return self._reading < self._per_decode * len(self._decode.addresses())"
ROUNDED = "return self._reading // max(1, len(self._decode.addresses())) <= self._per_decode"


@contextmanager
def broken(world: World) -> Iterator[None]:
    with disaggregated(world, rewritten("router.py", EXACT, ROUNDED)):
        yield
