"""Sets a link down and up again and again."""

from typing import ClassVar, Literal

from pydantic import Field

from hotfire.chaos.link_step import LinkStep


class LinkFlap(LinkStep):
    """A carrier that comes and goes."""

    word: Literal["link-flap"] = "link-flap"
    operation: ClassVar[str] = "link.flap"
    down_seconds: float = Field(gt=0, le=60)
    up_seconds: float = Field(gt=0, le=60)
    times: int = Field(gt=0, le=1000)

    def given(self) -> dict[str, object]:
        """Return the rhythm."""
        return self.model_dump(include={"down_seconds", "up_seconds", "times"})
