"""What a platform keeps in order over time, as the target file declares it."""

from pydantic import BaseModel

from hotfire.section import STRICT, Seconds


class Upkeep(BaseModel):
    """Promises that nobody notices until the day on which they are broken."""

    model_config = STRICT

    certificate_life_seconds: Seconds = 604_800.0
    """Least remaining life of a certificate that a server on the path shows; a week, in which a
    renewal that failed can still be mended."""
