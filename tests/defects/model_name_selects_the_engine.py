"""The gateway ignores the name and asks for the model that it has.

Whoever names that model is answered rightly, and so is everybody else, by it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    name = world.profile.engine.model
    rename = f"""
        local body = handle:body()
        local text = body:getBytes(0, body:length())
        local renamed = string.gsub(text, '"model": "[^"]*"', '"model": "{name}"')
        handle:headers():replace("content-length", body:setBytes(renamed))
    """
    with world.gateway_program(on_request=rename):
        yield
