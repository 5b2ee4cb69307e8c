"""Brings add-ons into a lab: programs and images onto the workers, objects into the cluster."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hotfire.lab.build.images import IMAGES, write_archive
from hotfire.lab.build.native import NativePart
from hotfire.lab.build.parts import GoPart
from hotfire.lab.build.store import link_or_copy
from hotfire.lab.cluster import on_demand, readiness
from hotfire.lab.cluster.kube import Kubectl
from hotfire.lab.cluster.on_demand import AddOn
from hotfire.lab.shape.progress import Progress
from hotfire.lab.shape.state import State


def parts(add_ons: Iterable[AddOn]) -> list[GoPart | NativePart]:
    """Return what has to be built for these add-ons."""
    return [add_on.built_part for add_on in add_ons if add_on.built_part]


def stock(state: State, names: Iterable[str], homes: Mapping[str, Path]) -> None:
    """Show the built programs to every worker, and write the archive of all images they need.

    ``names`` are all add-ons of the lab, ``homes`` the built parts of those that are new.
    """
    state.add_ons.mkdir(exist_ok=True)
    for home in homes.values():
        for program in (home / "bin").iterdir():
            link_or_copy(program, state.add_ons / program.name)
    made = [image for add_on in on_demand.resolve(names) for image in add_on.made_images()]
    write_archive(state.images, [*IMAGES, *made])


def start(
    kubectl: Kubectl,
    state: State,
    homes: Mapping[str, Path],
    *,
    add_ons: Sequence[AddOn],
    progress: Progress,
) -> None:
    """Start add-ons whose programs and images are there, and wait until they serve.

    Raises:
        LabError: one does not in time.
    """
    if not add_ons:
        return
    with progress.step(f"starting {', '.join(each.name for each in add_ons)}"):
        for add_on in add_ons:
            if (add_on.folder / "kustomization.yaml").exists():
                _apply(kubectl, add_on, state.home / "manifests" / add_on.name, homes)
        readiness.wait_served(kubectl)


def _apply(kubectl: Kubectl, add_on: AddOn, copy: Path, homes: Mapping[str, Path]) -> None:
    shutil.copytree(add_on.folder, copy, dirs_exist_ok=True)
    if add_on.name in homes:
        # Kustomize takes no absolute path, and what the part shares is in the cache.
        shutil.copytree(homes[add_on.name], copy, dirs_exist_ok=True, ignore=_programs)
    kubectl.run("apply", "--server-side", "--force-conflicts", f"--kustomize={copy}")


def _programs(_directory: str, names: list[str]) -> set[str]:
    return {"bin"} & set(names)
