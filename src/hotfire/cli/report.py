"""``hotfire report``: documents from a recorded run."""

from collections.abc import Iterable
from pathlib import Path

import typer

from hotfire import whole_files
from hotfire.cli.catalogue import entries
from hotfire.cli.project import FolderFormat, find_run, load_format, of_a_run
from hotfire.errors import ProfileError
from hotfire.own_folders import project_root
from hotfire.rundir import RunDirectory
from hotfire.shown import shown


def report(name: str, formats: list[str], output: Path | None) -> None:
    """Render a run in each format and say where it lies."""
    run = find_run(name)
    with of_a_run(run.root):
        if output == Path("-"):
            for format_name in formats:
                typer.echo(shown(_printed(run, format_name), keep="\n\t"))
            return
        folder = output or run.root
        for path in write_reports(run, formats, folder=folder):
            typer.echo(shown(str(path)))
        for line in _left_to_do(run, formats, folder):
            typer.echo(shown(line))


def write_reports(run: RunDirectory, formats: Iterable[str], *, folder: Path) -> list[Path]:
    """Write report.<suffix>, or a folder of files, in each format and return the paths."""
    paths = []
    for name in formats:
        for file, text in _texts(run, name, folder).items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            whole_files.write(path, text)
            paths.append(path)
    return paths


def _texts(run: RunDirectory, name: str, folder: Path) -> dict[str, str]:
    chosen = load_format(name)
    if isinstance(chosen, FolderFormat):
        return chosen.files(run, folder, [entry.requirement for entry in entries(project_root())])
    return {f"report{chosen.SUFFIX}": chosen.render(run)}


def _printed(run: RunDirectory, name: str) -> str:
    chosen = load_format(name)
    if isinstance(chosen, FolderFormat):
        raise ProfileError(f"{name} makes several files: name a folder as --output, or none")
    return chosen.render(run)


def _left_to_do(run: RunDirectory, formats: Iterable[str], folder: Path) -> Iterable[str]:
    for chosen in map(load_format, formats):
        if not isinstance(chosen, FolderFormat):
            continue
        left = chosen.problems(run, folder)
        yield "left to do before submission:" if left else "ready, as far as can be told offline"
        yield from (f"  {line}" for line in left)
