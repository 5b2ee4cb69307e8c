"""Experiments: reading their files, running them in a process of their own, judging the record."""

from hotfire.experiment.document import Claim, Experiment
from hotfire.experiment.judgement import Judgement, Record, judge
from hotfire.experiment.rated import rated_load, rated_plan
from hotfire.experiment.trial import Trial

__all__ = [
    "Claim",
    "Experiment",
    "Judgement",
    "Record",
    "Trial",
    "judge",
    "rated_load",
    "rated_plan",
]
