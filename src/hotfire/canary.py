"""The version under promotion, as the target file names it."""

from typing import Literal

from pydantic import BaseModel, Field

from hotfire.section import STRICT

Behaviour = Literal["slow", "errors", "invalid-json", "wrong-model"]


class Canary(BaseModel):
    """The version beside the stable one, in the same namespace, and how it is made a bad one."""

    model_config = STRICT

    workload: str = "canary"
    """Name of its Deployment."""
    container: str = "engine"
    """Container in its pods that serves."""
    port: int = Field(default=8000, gt=0, lt=65536)
    """Port on which that serves HTTP."""
    behaviours: dict[Behaviour, list[str]] = {}
    """Arguments to add to the container's for each fault: 25 % more time for each token, 500 to 5 %
    of the requests, no JSON in 3 % of the structured answers, other answers under the same name.
    The reference stack's canary needs none to be named."""
