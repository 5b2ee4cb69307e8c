"""Which revision of a model is in production, as the target file copies it from its registry."""

from typing import Annotated

from pydantic import BaseModel, Field

from hotfire.section import STRICT

Digest = Annotated[str, Field(pattern="^sha256:[0-9a-f]{64}$")]
"""Of content, as registries write it."""


class Revision(BaseModel):
    """What every engine of the model is to run: code and weights, each with digests of its own."""

    model_config = STRICT

    image: Digest
    """Of the engine's image, as ``imageID`` in a pod's status ends."""
    weights: dict[str, Digest] = Field(min_length=1)
    """Of each file of the model's weights, by its path below the model's directory."""
