"""Secrets in a plan's headers: the plan names them, and only the process that sends reads them.

``${env:NAME}`` stands for an environment variable, ``${file:/PATH}`` for what a file holds. This is
the one place of a load that reads its environment: what is passed on can be written down.
"""

import os
from dataclasses import replace
from pathlib import Path

from hotfire import text_files
from hotfire.errors import ProfileError
from hotfire.evidence import keep_secret
from hotfire.hidden import Hidden
from hotfire.measure.history import Request
from hotfire.traffic.workload.plan import LoadPlan
from hotfire.traffic.workload.prompts import REFERENCE

_MASK = "***"


def resolved(value: str) -> str:
    """Return a header's value with the secrets that it names.

    Raises:
        ProfileError: one cannot be read; the message names it.
    """
    return REFERENCE.sub(lambda found: _read(found[1]), value)


def named(plan: LoadPlan) -> list[str]:
    """Return each reference of the plan's headers, such as ``env:API_KEY``."""
    headers = [plan.headers, *(tenant.headers for tenant in plan.tenants)]
    values = [value for some in headers for value in some.values()]
    return [name for value in values for name in REFERENCE.findall(value)]


def from_environment(name: str) -> str | None:
    """Return a secret that this process was given by its environment, and that it never writes."""
    value = os.environ.get(name)
    if value:
        keep_secret(value)
    return value or None


def _read(name: str) -> str:
    kind, _, where = name.partition(":")
    if kind not in ("env", "file") or (kind == "file" and not Path(where).is_absolute()):
        raise _unreadable(name, "write ${env:NAME} or ${file:/PATH}")
    try:
        text = os.environ[where] if kind == "env" else text_files.read(Path(where))
    except (KeyError, OSError, ValueError) as error:
        why = "no such variable" if kind == "env" else type(error).__name__
        raise _unreadable(name, f"{why} where the load process runs") from error
    secret = text.strip()
    if not secret.isprintable() or not secret:
        raise _unreadable(name, "it is empty or holds more than one line")
    return secret


def _unreadable(name: str, why: str) -> ProfileError:
    return ProfileError(f"headers: ${{{name}}} cannot be read: {why}")


class Secrets:
    """What must not be written down, even where the target says it back.

    Raises:
        ProfileError: one of the plan's secrets cannot be read.
    """

    def __init__(self, plan: LoadPlan) -> None:
        values = list(map(_read, named(plan)))
        self._hidden = Hidden(values, mask=_MASK)
        keep_secret(*values)

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
