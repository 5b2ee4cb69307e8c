"""Lets a link send no more than so many bits in a second."""

from typing import ClassVar, Literal

from pydantic import Field

from hotfire.chaos.link_step import LinkStep


class LinkRate(LinkStep):
    """A link that carries less than it should."""

    word: Literal["link-rate"] = "link-rate"
    operation: ClassVar[str] = "link.rate"
    bits_per_second: float = Field(ge=8_000)

    def given(self) -> dict[str, object]:
        """Return the limit."""
        return {"bits_per_second": self.bits_per_second}
