"""Who follows a run reads what it is waiting for while it waits."""

import io
from pathlib import Path

from rich.console import Console

from hotfire.cli.progress import Progress
from hotfire.rundir import RunDirectory, RunInfo


def test_silent_api_server_is_told_as_it_happens(tmp_path: Path) -> None:
    info = RunInfo.begin(command=("certify",), target_name="acme", tool_version="0")
    run, page = RunDirectory.create(tmp_path, info), io.StringIO()
    progress = Progress(run, Console(file=page))

    run.tell("the API server does not answer; waiting, up to 60 s")
    progress.look()

    assert "the API server does not answer; waiting, up to 60 s" in page.getvalue()
