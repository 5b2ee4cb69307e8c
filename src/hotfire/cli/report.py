"""``hotfire report``: documents from a recorded run."""

from collections.abc import Iterable
from pathlib import Path

import typer

from hotfire.cli.project import find_run, load_format, of_a_run
from hotfire.rundir import RunDirectory, write_whole
from hotfire.shown import shown


def report(name: str, formats: list[str], output: Path | None) -> None:
    """Render a run in each format and say where it lies."""
    run = find_run(name)
    with of_a_run(run.root):
        if output == Path("-"):
            for format_name in formats:
                typer.echo(shown(load_format(format_name).render(run), keep="\n\t"))
            return
        for path in write_reports(run, formats, folder=output or run.root):
            typer.echo(shown(str(path)))


def write_reports(run: RunDirectory, formats: Iterable[str], *, folder: Path) -> list[Path]:
    """Write report.<suffix> in each format and return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in formats:
        chosen = load_format(name)
        path = folder / f"report{chosen.SUFFIX}"
        write_whole(path, chosen.render(run))
        paths.append(path)
    return paths
