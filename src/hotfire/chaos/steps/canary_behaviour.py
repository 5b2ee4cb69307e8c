"""Rolls out a canary that serves badly: what a promotion must find out."""

import json
from typing import Literal

from hotfire.agent.janitor import with_args
from hotfire.canary import Behaviour
from hotfire.chaos import canary
from hotfire.chaos.plan import World
from hotfire.chaos.template_step import TemplateStep, containers, there
from hotfire.chaos.written import Target
from hotfire.cluster import Document
from hotfire.errors import HarnessError


class CanaryBehaviour(TemplateStep):
    """The arguments of the canary's container, and those that make it bad."""

    word: Literal["canary-behaviour"] = "canary-behaviour"
    how: Behaviour
    """In which way it is bad."""

    def changes(self, world: World, found: Document) -> Document:
        """Return the containers with those arguments added."""
        name, added = world.profile.canary.container, canary.arguments(world.profile, self.how)
        args = {"args": [*(_container(world, found).get("args") or ()), *added]}
        return {"spec": {"containers": with_args(containers(found), name, args)}}

    def former(self, world: World, target: Target) -> dict[str, str]:
        """Return the arguments that it has."""
        args = _container(world, there(world, target)).get("args")
        return {"container": world.profile.canary.container, "args": json.dumps(args)}


def _container(world: World, found: Document) -> Document:
    wanted = world.profile.canary.container
    for one in containers(found):
        if one["name"] == wanted:
            return one
    raise HarnessError(
        f"canary.container: {found['metadata']['name']} has no container {wanted!r}, but"
        f" {', '.join(one['name'] for one in containers(found))}"
    )
