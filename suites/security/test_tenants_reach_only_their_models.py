"""A tenant reaches only its permitted models.

Who may use which model is a matter of price, of licences and of what a model was trained on. A gate
that verifies who asks, and then lets everybody ask for anything, looks sound to everyone who tests
it with the model that he uses. The name stands in the body, so a route by header or a body that
names two models may lead past whoever looks at it. A refusal says 403, or 404 as of a model that
does not exist: others are shown that it does.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest

from fixtures.callers import PATIENCE_SECONDS, Callers, untold
from fixtures.ways_in import Way, WaysIn
from hotfire import Evidence, Level, Reply, Scope, requirement
from hotfire.errors import HarnessError

pytestmark = requirement(
    "SEC-004",
    Level.MUST,
    __doc__,
    source="https://owasp.org/API-Security/editions/2023/en/0xa1-broken-object-level-authorization/",
    features={"tenants"},
    scope=Scope.CORE,
)

REFUSALS = (403, 404)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a tenant asked for on one way, and what it was answered."""

    tenant: str
    model: str
    way: Way
    reply: Reply

    @property
    def by(self) -> str:
        """The model that says it answered; empty: none did."""
        return str((self.reply.body or {}).get("model")) if self.reply.ok else ""

    def __str__(self) -> str:
        said = f"answered by {self.by}" if self.by else f"{self.reply.status}"
        return f"{self.tenant} asking for {self.model} by {self.way}: {said}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenants:
    """Asks in the name of each tenant for each model that any of them may use."""

    callers: Callers
    ways: list[Way]

    @property
    def models(self) -> list[str]:
        tenants = self.callers.tenants().values()
        return list(dict.fromkeys(model for tenant in tenants for model in tenant.models))

    def foreign(self) -> list[tuple[str, str]]:
        """Return each tenant with each model that it may not use.

        Raises:
            HarnessError: everybody may use everything.
        """
        tenants = self.callers.tenants().items()
        if found := [
            (name, one)
            for name, tenant in tenants
            for one in self.models
            if one not in tenant.models
        ]:
            return found
        raise HarnessError(
            "no tenant is declared that may not use what another one may; set the models in"
            " clients.tenants"
        )

    def astray(self, some: Iterable[Asked]) -> list[Asked]:
        """Return those that a model answered which the tenant may not use."""
        foreign = set(self.foreign())
        return [one for one in some if (one.tenant, one.by) in foreign]

    def ask(self, tenant: str, *models: str) -> Iterator[Asked]:
        """Yield what a tenant is answered on every way; a body may name several models."""
        answers = self.callers.ask(
            self.callers.tenant(tenant), self.ways, *models, patience_seconds=PATIENCE_SECONDS
        )
        for way, reply in answers:
            yield Asked(tenant=tenant, model=" and ".join(models), way=way, reply=reply)

    def permitted(self) -> list[Asked]:
        """Return what each tenant is answered that asks for what it may use."""
        return [
            one
            for name, tenant in self.callers.tenants().items()
            for model in tenant.models
            for one in self.ask(name, model)
        ]


@pytest.fixture
def tenants(callers: Callers, ways_in: WaysIn) -> Tenants:
    naming = (way for way in ways_in.ways if way.names_a_model)
    return Tenants(callers=callers, ways=callers.offered(naming))


def test_other_models_are_refused_on_every_route(
    tenants: Tenants, ways_in: WaysIn, evidence: Evidence
) -> None:
    foreign = tenants.foreign()
    # Negative control: those who may are answered, by that model, on that way.
    permitted = tenants.permitted()
    served = {(one.way, one.model) for one in permitted if one.by}
    refused = [one for name, model in foreign for one in tenants.ask(name, model)]
    judged = [one for one in refused if (one.way, one.model) in served]
    evidence.record("permitted", Counter(f"{one.tenant}: {one.reply.status}" for one in permitted))
    evidence.record("others", Counter(map(str, refused)))

    # On a route to another model whoever names his own may be answered by that one.
    astray = tenants.astray([*permitted, *refused])
    assert not astray, f"{len(astray)} answers are those of models not permitted, as {astray[0]}"
    told = [one for one in judged if not untold(one.reply)]
    let_in = [one for one in told if one.reply.status not in REFUSALS]
    assert not let_in, f"{len(let_in)} of {len(judged)} were not refused, as {let_in[0]}"
    if len(told) < len(judged):
        raise HarnessError(f"{len(judged) - len(told)} of {len(judged)} answers were none")
    require_served(tenants, served)
    ways_in.require_all()


def require_served(tenants: Tenants, served: set[tuple[Way, str]]) -> None:
    """Refuse to judge where nobody was answered by what others are kept from.

    Raises:
        HarnessError: no tenant is answered by a model that he may use and another may not.
    """
    unseen = {model for _, model in tenants.foreign()} - {model for _, model in served}
    if unseen:
        raise HarnessError(
            f"who may use {', '.join(sorted(unseen))} is not answered by it either, on any way"
        )


def test_a_second_name_in_the_body_reaches_nothing_else(
    tenants: Tenants, evidence: Evidence
) -> None:
    permitted = {name: tenant.models for name, tenant in tenants.callers.tenants().items()}
    asked = [
        one
        for name, other in tenants.foreign()
        if permitted[name]
        for names in ((permitted[name][0], other), (other, permitted[name][0]))
        for one in tenants.ask(name, *names)
    ]
    answered = {one.way for one in tenants.permitted() if one.by}
    evidence.record("answers", Counter(map(str, asked)))
    evidence.record("ways_that_answer_one_name", sorted(map(str, answered)))
    if not (asked and answered):
        raise HarnessError("no tenant is answered by the model that it may use, on any way")

    astray = tenants.astray(asked)
    assert not astray, f"{len(astray)} answers are those of models not permitted, as {astray[0]}"
