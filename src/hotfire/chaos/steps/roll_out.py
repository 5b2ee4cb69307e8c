"""Rolls a Deployment out anew without any difference to its pods, as each update does."""

from typing import Literal

from hotfire.chaos.plan import World
from hotfire.chaos.template_step import TemplateStep
from hotfire.cluster import Document


class RollOut(TemplateStep):
    """The same pod template but for a mark, so that every pod is replaced."""

    word: Literal["roll-out"] = "roll-out"

    def changes(self, world: World, found: Document) -> Document:
        """Return nothing: the mark is enough."""
        del world, found
        return {}
