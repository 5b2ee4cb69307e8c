"""Sends every frame of a link late; a node can hold back what it sends, not what it is sent."""

from typing import ClassVar, Literal

from pydantic import Field

from hotfire.chaos.link_step import LinkStep


class LinkDelay(LinkStep):
    """Delay of what leaves the node."""

    word: Literal["link-delay"] = "link-delay"
    operation: ClassVar[str] = "link.delay"
    seconds: float = Field(gt=0, le=5)

    def given(self) -> dict[str, object]:
        """Return the delay."""
        return {"seconds": self.seconds}
