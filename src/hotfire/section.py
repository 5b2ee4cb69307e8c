"""What every part of the target file has in common."""

from typing import Annotated, Final

from pydantic import ConfigDict, Field

# An error that quotes what it refuses would show a password.
STRICT: Final = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
"""Unknown keys are refused, values never change."""
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
