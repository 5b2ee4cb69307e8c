"""What was asked for when faults are looked for; kept in the run's directory."""

from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hotfire.errors import ProfileError
from hotfire.rundir import RunDirectory

_NAME: Final = "explore.json"
FOUND: Final = "found"
"""Folder of a run in which failing schedules are written, as experiments of that area."""
TOLD: Final = "exploring"
"""The event by which an exploration says what it does; its data has ``words``."""


class Order(BaseModel):
    """For how long faults are looked for, and which."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(ge=0, le=999_999)
    """Decides what is drawn."""
    minutes: float = Field(gt=0, le=7 * 24 * 60)
    """For how long new schedules are fired; a failing one may be shrunk for as long again."""
    faults: frozenset[str] = frozenset()
    """Ids to draw from; empty: all that the target can take."""

    def words(self) -> list[str]:
        """Return it as somebody would type it."""
        found = ["--minutes", f"{self.minutes:g}", "--seed", str(self.seed)]
        return found + (["--faults", ",".join(sorted(self.faults))] if self.faults else [])

    def write(self, run: RunDirectory) -> None:
        """Keep it with a run."""
        run.write_text(_NAME, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, run: RunDirectory) -> Self:
        """Return what was asked for in a run.

        Raises:
            ProfileError: nothing was.
        """
        try:
            return cls.model_validate_json(run.path(_NAME).read_bytes())
        except (OSError, ValidationError) as error:
            raise ProfileError(f"{run.root} was not begun by `hotfire explore`") from error
