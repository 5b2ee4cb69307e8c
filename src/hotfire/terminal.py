"""The only way to print to a terminal: control characters in what is printed are made visible."""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from hotfire.shown import shown


class Terminal(Console):
    """A console of rich whose own sequences are the only ones that get through.

    It looks at what is about to be written, whichever table, text or live display it comes from:
    nobody who prints a word of the target has to think of it.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render as ever, with the unseen made visible."""
        for segment in super().render(renderable, options):
            yield (
                segment
                if segment.control
                else segment._replace(text=shown(segment.text, keep="\n"))
            )
