"""Who comes to the gateway, and what for, as the target file declares it."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from hotfire.reference import Headers
from hotfire.section import STRICT

Shown = Annotated[Headers, Field(min_length=1)]
"""Headers that carry a credential, by reference as in ``gateway.headers``."""
Refused = Literal["expired", "other-issuer", "other-audience"]
"""Why a credential of the platform's own making must be refused all the same."""


class Limit(BaseModel):
    """How much of something a tenant may have, and in what time."""

    model_config = STRICT

    requests: int = Field(gt=0)
    """Requests that are accepted in so many seconds; as many may come at once."""
    seconds: float = Field(gt=0, allow_inf_nan=False)
    """Length of that time; 60 where the limit is told per minute."""


class Tenant(BaseModel):
    """One of those who share the platform."""

    model_config = STRICT

    headers: Shown
    """What its clients show in place of the gateway's own credentials, e.g.
    {"Authorization": "Bearer ${env:TEAM_A_KEY}"}; a secret only by reference."""
    models: list[str] = []
    """Names of the models that it may use."""
    limit: Limit | None = None
    """What it may have of requests; None: nothing is declared."""


class Clients(BaseModel):
    """Whom the gateway lets in, and whom it must not."""

    model_config = STRICT

    tenants: dict[str, Tenant] = {}
    """Those who share the platform, by a name of your choice."""
    refused: dict[Refused, Shown] = {}
    """Credentials that it must refuse, by what is wrong with each; otherwise they are genuine ones
    of its own issuer."""

    @property
    def headers(self) -> list[dict[str, str]]:
        """What each of them shows, secrets as references."""
        tenants = [tenant.headers for tenant in self.tenants.values()]
        return [*tenants, *self.refused.values()]
