"""The words that a fault is written in: small typed things, each in a file named like the word.

A folder of ``hotfire.chaos`` is the registry of one kind: what is asked for by name is looked up
there and nowhere else, so that neither an experiment file nor an undo entry can name code.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

Folder = Literal["targets", "steps", "sightings"]


class Word(BaseModel):
    """A word with its arguments."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    word: str

    def __str__(self) -> str:
        """Return the word and what it was given."""
        given = self.model_dump(exclude={"word"}, exclude_defaults=True)
        return " ".join([self.word, *(f"{name}={value}" for name, value in given.items())])


def known(folder: Folder) -> list[str]:
    """Return the words of one kind."""
    package = importlib.import_module(f"hotfire.chaos.{folder}")
    return sorted(name.replace("_", "-") for _, name, _ in pkgutil.iter_modules(package.__path__))


def class_of(folder: Folder, word: str) -> type[Word]:
    """Return what a word means.

    Raises:
        ValueError: there is no such word; the message names those that are near.
    """
    words = known(folder)
    if word not in words:
        near = get_close_matches(word, words, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(words)}"
        raise ValueError(f"no word {word[:80]!r} among {folder}{hint}")
    module = importlib.import_module(f"hotfire.chaos.{folder}.{word.replace('-', '_')}")
    classes: list[type[Word]] = [
        one
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, Word) and one.__module__ == module.__name__
    ]
    return next(one for one in classes if one.model_fields["word"].default == word)


def read(folder: Folder, given: object) -> Word:
    """Return the word of a mapping such as ``{"word": "hold", ...}``.

    Raises:
        ValueError: it is no word, or its arguments are wrong (pydantic's ValidationError).
    """
    if isinstance(given, Word):
        return given
    if not isinstance(given, Mapping) or not isinstance(given.get("word"), str):
        # A ValueError, which pydantic tells with the name of the field.
        raise ValueError(f"a word of {folder} is a mapping with `word`, not {given!r:.80}")  # noqa: TRY004
    return class_of(folder, given["word"]).model_validate(given)


def reader(folder: Folder) -> BeforeValidator:
    """Return what turns a mapping in a pydantic field into a word."""
    return BeforeValidator(lambda given: read(folder, given))
