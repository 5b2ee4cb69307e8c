"""Audit and request logs are kept as long as declared.

Who did what is asked weeks later. A log that is rotated by its size keeps a quiet day or a busy
hour, and the hour after an attack is a busy one. Where it is also declared when entries are gone,
what is older is a promise broken to those of whom it tells.
"""

from fixtures.kept_logs import Ends, Log
from hotfire import Evidence, Level, requirement
from hotfire.errors import HarnessError

pytestmark = requirement(
    "SEC-011",
    Level.SHOULD,
    __doc__,
    source="https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/#log-backend",
    features={"log-retention"},
)


def broken_promise(ends: Ends, *, kept_seconds: float, gone_seconds: float | None = None) -> str:
    """Return in what a log with these ends is not kept as declared; empty: it is."""
    told = f"its oldest entry is {ends.seconds:.0f} s old"
    if ends.seconds < kept_seconds:
        return f"{told}, and is to be kept for {kept_seconds:g} s"
    if gone_seconds is not None and ends.seconds > gone_seconds:
        return f"{told}, and is to be gone after {gone_seconds:g} s"
    return ""


def test_each_log_reaches_back_as_far_as_declared(kept_logs: list[Log], evidence: Evidence) -> None:
    if not kept_logs:
        raise HarnessError("log-retention is claimed, and upkeep.logs of the target file is empty")
    broken, young = {}, []
    for log in kept_logs:
        ends = log.living()
        promised = log.declared.kept_seconds
        evidence.record(f"{log.name}_reaches_back_seconds", ends.seconds)
        evidence.record(f"{log.name}_kept_seconds", promised)
        evidence.record(f"{log.name}_gone_seconds", log.declared.gone_seconds)
        check_control(log.name, ends)
        wrong = broken_promise(ends, kept_seconds=promised, gone_seconds=log.declared.gone_seconds)
        if ends.seconds < promised and log.age_seconds(ends.newest) < promised:
            young.append(log.too_young)
        elif wrong:
            broken[log.name] = wrong
    evidence.record("broken", broken)

    assert not broken, "; ".join(f"the log {name}: {wrong}" for name, wrong in broken.items())
    if young:
        raise HarnessError("; ".join(young))


def check_control(name: str, ends: Ends) -> None:
    """Negative control: the same log breaks a declaration that is longer, and one that is shorter.

    Raises:
        HarnessError: it does not.
    """
    longer = broken_promise(ends, kept_seconds=ends.seconds + 1)
    shorter = broken_promise(ends, kept_seconds=ends.seconds / 4, gone_seconds=ends.seconds / 2)
    if not (longer and shorter):
        raise HarnessError(f"the log {name} reaches {ends.seconds:.0f} s back, longer or shorter")
