"""What a platform keeps in order over time, as the target file declares it."""

from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

from hotfire.section import STRICT, Seconds


class KeptLog(BaseModel):
    """A log, and how long what is written there stays."""

    model_config = STRICT

    ends: list[str] = Field(min_length=1)
    """Command that prints when the log's oldest entry was written, and then when its newest was:
    each as RFC 3339 on a line of its own."""
    kept_seconds: Seconds
    """Age up to which every entry is there."""
    gone_seconds: Seconds | None = None
    """Age beyond which none is, where what users did is not to be kept for ever; None: nothing is
    declared."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.gone_seconds is not None and self.gone_seconds <= self.kept_seconds:
            raise ValueError("gone_seconds must be more than kept_seconds")
        return self


class Upkeep(BaseModel):
    """Promises that nobody notices until the day on which they are broken."""

    model_config = STRICT

    certificate_life_seconds: Seconds = 604_800.0
    """Least remaining life of a certificate that a server on the path shows; a week, in which a
    renewal that failed can still be mended."""
    logs: dict[Literal["audit", "requests"], KeptLog] = {}
    """Those of which is declared how long they are kept: the API server's audit log, and the
    gateway's log of requests."""
