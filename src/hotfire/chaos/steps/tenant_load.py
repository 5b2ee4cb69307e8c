"""Sends more requests in the name of a tenant than its limit allows, beside the rated ones."""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from hotfire.chaos.plan import World
from hotfire.chaos.step import Fired, Life, Step
from hotfire.chaos.steps.more_load import MoreLoad
from hotfire.chaos.undo import UndoEntry
from hotfire.chaos.written import Target
from hotfire.clients import Limit, Tenant
from hotfire.cluster import lend_named
from hotfire.errors import HarnessError
from hotfire.profile import TargetProfile


class TenantLoad(Step):
    """An open load of the tenant whose limit is told for the shortest time.

    The rated load is another one's: of whoever shows what the gateway's own section names.
    """

    word: Literal["tenant-load"] = "tenant-load"
    lives_on: ClassVar[Life] = "nowhere"
    times: float = Field(default=5.0, gt=1, le=20)
    """Its rate, as a multiple of the tenant's limit."""

    def rehearse(self, world: World, target: Target) -> str:
        """Return who is asked, once there is somebody in whose name.

        Raises:
            HarnessError: there is nobody.
        """
        return self.load.rehearse(as_tenant(world), target)

    @property
    def load(self) -> MoreLoad:
        """The load, to whoever sees the world as that tenant."""
        return MoreLoad(times=self.times)

    def fire(self, world: World, entry: UndoEntry) -> Fired:
        """Start it."""
        tenant, _ = limited(world.profile)
        lend_named(tenant.headers.values(), world.cluster, field="clients")
        return self.load.fire(as_tenant(world), entry)

    def end(self, world: World, entry: UndoEntry, *, within_seconds: float) -> str:
        """End it; in another process than the one that started it there is none to end."""
        return self.load.end(world, entry, within_seconds=within_seconds)


def as_tenant(world: World) -> World:
    """Return the world as that tenant has it: its limit is the load that it was promised."""
    profile = world.profile
    tenant, limit = limited(profile)
    model = tenant.models[0] if tenant.models else profile.engine.model
    rate = limit.requests / limit.seconds
    changes = {
        "gateway": profile.gateway.shown_by(tenant.headers),
        "engine": profile.engine.model_copy(update={"model": model}),
        "load": profile.load.model_copy(update={"rate_per_second": rate}),
    }
    return replace(world, profile=profile.model_copy(update=changes))


def limited(profile: TargetProfile) -> tuple[Tenant, Limit]:
    """Return the tenant whose limit is told for the shortest time; the gateway's own is none.

    Raises:
        HarnessError: there is none with a limit.
    """
    own = profile.gateway.shown_headers
    found = [
        (one, one.limit)
        for one in profile.clients.tenants.values()
        if one.limit and _lower(one.headers) != own
    ]
    if not found:
        raise HarnessError(
            "it takes a tenant with a limit, which is not the one of the gateway's own headers; set"
            " clients.tenants"
        )
    return min(found, key=lambda each: each[1].seconds)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): text for name, text in headers.items()}
