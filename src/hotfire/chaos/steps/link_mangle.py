"""Spoils a random share of what a link sends: a bit is turned, or it comes twice, or too late."""

from typing import ClassVar, Literal

from pydantic import Field

from hotfire.chaos.link_step import LinkStep


class LinkMangle(LinkStep):
    """Frames that arrive, but not as they were sent."""

    word: Literal["link-mangle"] = "link-mangle"
    operation: ClassVar[str] = "link.mangle"
    how: Literal["corrupt", "duplicate", "reorder"]
    percent: float = Field(gt=0, le=100)
    """Which share of the frames."""

    def given(self) -> dict[str, object]:
        """Return what happens to which share."""
        return {"how": self.how, "ratio": self.percent / 100}
