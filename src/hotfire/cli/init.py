"""``hotfire init``: a cluster that nobody has described becomes a target file."""

from pathlib import Path

import typer

from hotfire.cluster import Cluster
from hotfire.discovery.found import look_around
from hotfire.discovery.target_file import Origin, target_file
from hotfire.errors import ClusterError, ProfileError
from hotfire.profile import TargetProfile
from hotfire.shown import shown

_PATIENCE_SECONDS = 5.0


def init(origin: Origin, output: Path | None) -> int:
    """Look around, and write the file to ``output``, or to standard output.

    Raises:
        ProfileError: there is no such cluster, nobody answers there, or the file is there already.
    """
    if output is not None and output.exists():
        raise ProfileError(f"{output} exists already; remove it, or name another --output")
    try:
        found = look_around(Cluster.connect(_only_a_cluster(origin)), origin.namespace)
    except ClusterError as error:
        raise ProfileError(f"kubeconfig: {error}") from error
    text = shown(target_file(found, origin), keep="\n")
    if output is None:
        typer.echo(text, nl=False)
        return 0
    output.write_text(text, encoding="utf-8")
    guesses = sum("# guessed" in line for line in text.splitlines()[2:])
    typer.echo(f"{output}: read the {guesses} lines marked `# guessed`, then `hotfire doctor`")
    return 0


def _only_a_cluster(origin: Origin) -> TargetProfile:
    """Return a profile of which nothing but the cluster counts."""
    return TargetProfile.model_validate(
        {
            "name": "unknown",
            "context": origin.context,
            "kubeconfig": origin.kubeconfig,
            "gateway": {"url": "http://gateway.invalid"},
            "engine": {"model": "unknown"},
            "budgets": "lab",
            "waits": {"api_outage_seconds": _PATIENCE_SECONDS},
        }
    )
