"""One engine has memory for prompts of usual length: for the longest, all at once, it has not.

Whoever asks for little, or one after the other, finds it sound.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.world import World

# Each token of a prompt takes four kilobytes until its answer has ended: twenty of the longest
# prompts are more than the limit leaves. Not zeros, which the kernel would only promise.
TIGHT = r"""
import sys
sys.path.insert(0, "/opt/engine")
import scripted
begin = scripted.Stream.__init__
def begin_with_memory(stream, engine, connection, asked, truth):
    begin(stream, engine, connection, asked, truth)
    stream.held = b"\1" * (4000 * asked.n_in)
scripted.Stream.__init__ = begin_with_memory
scripted.main(sys.argv[3:])
"""


@contextmanager
def broken(world: World) -> Iterator[None]:
    def tight(spec: Document) -> None:
        [engine] = spec["containers"]
        engine["command"] = ["python3", "-c", TIGHT, *engine["command"]]

    with world.one_more_engine(tight):
        yield
