"""MIG profiles of the lab's GPUs: what their instances have and which fit together."""

import re
from dataclasses import dataclass

from hotfire.errors import LabError

COMPUTE_SLICES, _MEMORY_GIGABYTES = 7, 80
_WORD = re.compile(r"(\d+g\.\d+gb)(?:\*(\d+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class MigProfile:
    """What an instance of a profile has; ``first_id`` is the lowest GPU instance id it gets."""

    slices: int
    memory_mebibytes: int
    multiprocessors: int
    copy_engines: int
    decoders: int
    first_id: int


# The profiles of an 80 GB Hopper and what its instances report.
PROFILES = {
    "1g.10gb": MigProfile(
        slices=1,
        memory_mebibytes=9984,
        multiprocessors=16,
        copy_engines=1,
        decoders=1,
        first_id=7,
    ),
    "2g.20gb": MigProfile(
        slices=2,
        memory_mebibytes=20096,
        multiprocessors=32,
        copy_engines=2,
        decoders=2,
        first_id=3,
    ),
    "3g.40gb": MigProfile(
        slices=3,
        memory_mebibytes=40448,
        multiprocessors=60,
        copy_engines=3,
        decoders=3,
        first_id=1,
    ),
    "4g.40gb": MigProfile(
        slices=4,
        memory_mebibytes=40448,
        multiprocessors=64,
        copy_engines=4,
        decoders=4,
        first_id=1,
    ),
    "7g.80gb": MigProfile(
        slices=7,
        memory_mebibytes=81152,
        multiprocessors=132,
        copy_engines=8,
        decoders=7,
        first_id=0,
    ),
}


def instances(words: str) -> tuple[str, ...]:
    """Return the profiles that words such as ``3g.40gb+1g.10gb*4`` name, one for each instance.

    Raises:
        LabError: there is no such profile, or one GPU cannot hold them all.
    """
    profiles: list[str] = []
    for word in re.split(r"[+,]", words):
        found = _WORD.fullmatch(word)
        if found is None or found[1] not in PROFILES:
            raise LabError(f"expected a MIG profile of {', '.join(PROFILES)}, not {word!r}")
        profiles += [found[1]] * int(found[2] or 1)
    slices = sum(PROFILES[name].slices for name in profiles)
    gigabytes = sum(int(re.findall(r"\d+", name)[1]) for name in profiles)
    if not profiles or slices > COMPUTE_SLICES or gigabytes > _MEMORY_GIGABYTES:
        raise LabError(
            f"{words!r} takes {slices} of {COMPUTE_SLICES} slices and {gigabytes} of "
            f"{_MEMORY_GIGABYTES} GB of a GPU; leave some out"
        )
    return tuple(profiles)
