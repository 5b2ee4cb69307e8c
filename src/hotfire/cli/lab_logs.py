"""The logs of the lab, kept with a run against it as soon as something of it is not well."""

from hotfire.lab import collect_logs
from hotfire.profile import TargetProfile
from hotfire.rundir import RunDirectory
from hotfire.verdict import Verdict

_FOLDER = "logs/lab"
_UNWELL = {Verdict.FAILED, Verdict.INCONCLUSIVE}


class LabLogs:
    """Collects at each new result that is failed or inconclusive: pods' logs go with their pods."""

    def __init__(self, run: RunDirectory, profile: TargetProfile) -> None:
        self._run = run
        self._kubeconfig = profile.kubeconfig
        self._seen = 0

    def look(self) -> None:
        """Collect if something new went wrong; a run against another target has no such logs."""
        unwell = sum(result.verdict in _UNWELL for result in self._run.results())
        if unwell > self._seen:
            self.collect()
        self._seen = unwell

    def collect(self) -> None:
        """Collect now, e.g. because the run broke off before it had a result."""
        if self._kubeconfig is not None:
            collect_logs(self._kubeconfig, self._run.path(_FOLDER))
