"""A tenant asks for many times its limit: in its own name, and seen by what is refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from hotfire.chaos import beside
from hotfire.chaos.plan import World
from hotfire.chaos.sighting import Scene
from hotfire.chaos.sightings.over_limit import OverLimit
from hotfire.chaos.steps.tenant_load import TenantLoad, limited
from hotfire.chaos.targets.rated_model import RatedModel
from hotfire.clients import Clients
from hotfire.errors import HarnessError
from hotfire.measure.history import FailureClass, Request
from tests.chaos.platform import Platform
from tests.chaos.scenes import entry, scene
from tests.test_recovery import served

STEP, WORD = TenantLoad(times=5), OverLimit(at_least=20)
PER_MINUTE, PER_SECOND = {"requests": 60, "seconds": 60}, {"requests": 4, "seconds": 2}
RATE = 10.0
OWN = {"X-Team": "rated"}


def tenants(**limits: dict[str, int] | None) -> Clients:
    return Clients.model_validate(
        {
            "tenants": {
                name: {"headers": {"x-team": name}, "models": ["small"]}
                | ({"limit": limit} if limit else {})
                for name, limit in limits.items()
            }
        }
    )


def having(world: World, clients: Clients) -> World:
    gateway = world.profile.gateway.model_copy(update={"headers": OWN})
    changes = {"clients": clients, "gateway": gateway}
    return replace(world, profile=world.profile.model_copy(update=changes))


@dataclass
class Refused:
    """A load of which some requests were refused."""

    refused: int = 0
    shown: tuple[dict[str, str], str] = ({}, "")
    changes: dict[str, Any] = field(default_factory=dict)

    def alive(self) -> bool:
        return True

    def rows(self) -> list[Request]:
        def row(seq: int) -> Request:
            found = replace(served(0), seq=seq, sched_ns=round(seq / RATE * 1e9))
            late = replace(found, error_class=FailureClass.HTTP_429)
            return late if seq < self.refused else found

        return [row(seq) for seq in range(100)]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Refused:
    found = Refused()

    @contextmanager
    def started(world: World, name: str, changes: dict[str, Any]) -> Iterator[Refused]:
        assert name == "FLT-X-001-beside"
        found.shown = dict(world.profile.gateway.headers), world.profile.engine.model
        found.changes = changes
        yield found

    monkeypatch.setattr(beside, "_BESIDE", beside._Beside(starter=started))
    return found


@pytest.fixture
def fired(world: World, platform: Platform, load: Refused) -> Scene:
    del platform, load
    found = having(world, tenants(rated=None, slow=PER_MINUTE, quick=PER_SECOND))
    planned = scene(found, RatedModel().resolve(found, "FLT-X-001"))
    told = entry(planned.plan.targets[0], STEP.model_dump())
    STEP.fire(found, told)
    return replace(planned, entries=(told,))


def test_it_asks_in_the_name_of_the_tenant_with_the_shortest_limit(
    fired: Scene, load: Refused
) -> None:
    del fired

    assert load.shown == ({**OWN, "x-team": "quick"}, "small")
    assert load.changes == {"rate_per_second": RATE, "seed": 1}


@pytest.mark.parametrize(("refused", "seen"), [(0, "no"), (19, "no"), (20, "yes")])
def test_it_is_proven_by_what_is_refused(
    fired: Scene, load: Refused, refused: int, seen: str
) -> None:
    load.refused = refused

    assert WORD.look(fired).seen == seen


@pytest.mark.parametrize("clients", [tenants(other=None), tenants(rated=PER_SECOND), Clients()])
def test_without_another_tenant_with_a_limit_nothing_is_fired(
    world: World, clients: Clients
) -> None:
    with pytest.raises(HarnessError, match=r"set clients\.tenants"):
        limited(having(world, clients).profile)
