"""Experiments: reading their files, running them in a process of their own, judging the record."""

from hotfire.experiment.campaign import Campaign
from hotfire.experiment.conduct import Stage, conduct
from hotfire.experiment.document import Experiment
from hotfire.experiment.facts import Facts, Record
from hotfire.experiment.judgement import Judgement, judge
from hotfire.experiment.record import judge_recorded, judge_run
from hotfire.experiment.traffic import Traffic
from hotfire.experiment.trial import Trial

__all__ = [
    "Campaign",
    "Experiment",
    "Facts",
    "Judgement",
    "Record",
    "Stage",
    "Traffic",
    "Trial",
    "conduct",
    "judge",
    "judge_recorded",
    "judge_run",
]
