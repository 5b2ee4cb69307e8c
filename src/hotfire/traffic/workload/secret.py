"""What the process that sends knows and the plan does not: secrets, and where files lie here."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from hotfire.evidence import keep_secret
from hotfire.hidden import Hidden
from hotfire.measure.history import Request
from hotfire.reference import names_in, read
from hotfire.traffic.workload.plan import LoadPlan

FOLDER_VARIABLE: Final = "HOTFIRE_LOAD_FILES"
"""Environment variable that tells a worker where the plan's files lie on its own machine."""
_MASK = "***"


def named(plan: LoadPlan) -> list[str]:
    """Return each reference of the plan's headers, such as ``env:API_KEY``."""
    return names_in(_header_values(plan))


def _header_values(plan: LoadPlan) -> Iterator[str]:
    for headers in (plan.headers, *(tenant.headers for tenant in plan.tenants)):
        yield from headers.values()


def from_environment(name: str) -> str | None:
    """Return a secret that this process was given by its environment, and that it never writes."""
    value = os.environ.get(name)
    if value:
        keep_secret(value)
    return value or None


def with_files_here(plan: LoadPlan) -> LoadPlan:
    """Return the plan with its TLS files where they lie on this machine: under their fields' names.

    Only a worker that was lent them has them elsewhere than the plan says.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder is None:
        return plan
    lent = {name: str(Path(folder, name)) for name, path in plan.tls_files.items() if path}
    return plan.model_copy(update=lent)


class Secrets:
    """What must not be written down, even where the target says it back.

    Raises:
        ProfileError: one of the plan's secrets cannot be read.
    """

    def __init__(self, plan: LoadPlan) -> None:
        self._hidden = Hidden(map(read, named(plan)), mask=_MASK)

    def hidden(self, row: Request) -> Request:
        """Return the row without them."""
        if not self._hidden:
            return row
        without = self._hidden.without
        return replace(
            row,
            detail=without(row.detail),
            deviation=without(row.deviation),
            served_by=row.served_by and without(row.served_by),
            finish_reason=row.finish_reason and without(row.finish_reason),
        )
