"""Parts of applications beside the engines, by the labels that the target file names."""

from collections.abc import Mapping
from typing import Any

from hotfire.errors import HarnessError
from hotfire.pod_roles import Selector


def labels_of(parts: Mapping[Any, Selector], part: str, *, section: str) -> Selector:
    """Return the labels of a part's pods, as a section of the target file tells them.

    Raises:
        HarnessError: it does not.
    """
    if part not in parts:
        raise HarnessError(f"set {section}.parts.{part} to the labels of its pods")
    return parts[part]
