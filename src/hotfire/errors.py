"""What can go wrong on our side; target misbehaviour is data.

It has one class, for where a value leads no further: a fixture that cannot give what it promises,
since the target was awaited in vain, fails whatever asked for it (see ``waiting.Awaited``).

HotfireError
  ProfileError        the operator can fix it: an argument or the target file
  LabError            the machine cannot carry the lab: not root, no Go, a port in use
  TargetNotReady      the target did not do in time what it owes; the verdict is failed
  HarnessError        we could not find out; the verdict is inconclusive
    ClusterError        the API server refused, failed or was too slow
      Conflict            an object was there already, or changed under us
      Forbidden           these credentials may not do that
    StackNotReady       what we need of our own, such as agents, did not get ready
    FaultNotInjected    the fault left no trace on the target
    RollbackFailed      something we broke is still broken
    HistoryError        a recorded history contradicts itself
    InstrumentError     the load generator was not fit to measure
"""


class HotfireError(Exception):
    """The root of every error hotfire raises on purpose."""


class ProfileError(HotfireError):
    """The operator can fix it: an argument or the target file is wrong."""


class LabError(HotfireError):
    """This machine cannot carry the lab as it is."""


class TargetNotReady(HotfireError):  # noqa: N818 - reads as the sentence it is
    """The target was awaited in vain, by a fixture that has nothing to give without it."""


class HarnessError(HotfireError):
    """We could not find out; whatever depended on it is inconclusive."""


class ClusterError(HarnessError):
    """The API server refused, failed or did not answer in time."""


class Forbidden(ClusterError):  # noqa: N818 - reads as the sentence it is
    """The credentials of the kubeconfig may not do that: HTTP 403."""


class Conflict(ClusterError):  # noqa: N818 - reads as the sentence it is
    """An object of that name is there already, or is not the one or not as it was: HTTP 409."""


class StackNotReady(HarnessError):  # noqa: N818 - reads as the sentence it is
    """What we need of our own did not become ready in time."""


class FaultNotInjected(HarnessError):  # noqa: N818 - reads as the sentence it is
    """The fault left no observable trace on the target."""


class RollbackFailed(HarnessError):  # noqa: N818 - reads as the sentence it is
    """Something we broke could not be proven healed."""


class HistoryError(HarnessError):
    """A recorded history contradicts itself or cannot be read."""


class InstrumentError(HarnessError):
    """The load generator was not fit to measure."""
