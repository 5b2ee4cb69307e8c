"""What a run leaves behind: its directory, what stands in it, and how that is written."""

from hotfire.rundir.contents import (
    TIME_SPENT,
    BudgetRow,
    ClusterFacts,
    Event,
    NodeFacts,
    Result,
    RunInfo,
)
from hotfire.rundir.directory import RunDirectory
from hotfire.rundir.files import dump, file_name

__all__ = [
    "TIME_SPENT",
    "BudgetRow",
    "ClusterFacts",
    "Event",
    "NodeFacts",
    "Result",
    "RunDirectory",
    "RunInfo",
    "dump",
    "file_name",
]
