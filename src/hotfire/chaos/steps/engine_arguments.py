"""Edits the engines' arguments by hand, without any difference to what they do."""

import json
from typing import ClassVar, Literal

from hotfire.agent.janitor import with_args
from hotfire.chaos.plan import World
from hotfire.chaos.template_step import TemplateStep, containers, there
from hotfire.chaos.written import Target
from hotfire.cluster import Document
from hotfire.errors import HarnessError


class EngineArguments(TemplateStep):
    """The engines' last option said twice."""

    word: Literal["engine-arguments"] = "engine-arguments"
    # Whoever reverts the arguments leaves the mark: it must not be what makes other pods of them.
    marks: ClassVar[Literal["template", "object"]] = "object"

    def changes(self, world: World, found: Document) -> Document:
        """Return the containers with that option added."""
        name = world.profile.engine.container
        args = {"args": said_again(arguments(found, name))}
        return {"spec": {"containers": with_args(containers(found), name, args)}}

    def former(self, world: World, target: Target) -> dict[str, str]:
        """Return the arguments that they have."""
        name = world.profile.engine.container
        return {"container": name, "args": json.dumps(arguments(there(world, target), name))}


def arguments(found: Document, name: str) -> list[str]:
    """Return the arguments of a container of a Deployment."""
    return [
        str(word)
        for one in containers(found)
        if one["name"] == name
        for word in one.get("args") or ()
    ]


def said_again(args: list[str]) -> list[str]:
    """Return arguments with the last option, and what belongs to it, said twice.

    Raises:
        HarnessError: there is no option among them, as in a line for a shell.
    """
    options = [number for number, word in enumerate(args) if word.startswith("-")]
    if not options:
        raise HarnessError("the engines' arguments hold no option that could be said twice")
    return [*args, *args[options[-1] :]]
