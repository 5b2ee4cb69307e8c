"""How pods that read prompts and pods that answer them work together, as the target declares it."""

from pydantic import BaseModel, Field

from hotfire.section import STRICT, Seconds


class Disaggregation(BaseModel):
    """Prefill and decode in pods of their own; claim `disaggregation`."""

    model_config = STRICT

    prefills_per_decode: int | None = Field(default=None, gt=0)
    """Most requests in prefill pods for each decode pod, as declared; claim `prefill-admission`."""
    loss_seconds: Seconds = 30.0
    """Time from the loss of a decode pod until its requests are answered or refused, and what
    prefill pods kept for them is free; vLLM's lease of KV blocks."""
