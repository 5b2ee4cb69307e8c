"""Sets a link down on its node, so that both ends lose the carrier."""

from typing import ClassVar, Literal

from hotfire.chaos.link_step import LinkStep


class LinkDown(LinkStep):
    """Loss of the carrier."""

    word: Literal["link-down"] = "link-down"
    operation: ClassVar[str] = "link.carrier_down"
