"""A submission to the CNCF AI Conformance programme: ``<version>/<product>/`` with five files.

Evidence is named by file alone: the programme's validator looks for a local file of the whole name,
so that ``README.md#item`` would not be found, and an address of the repository only exists once the
submission is merged. The anchors are in README.md and lead to lines of e2e.log.
"""

from collections.abc import Iterable
from pathlib import Path

from hotfire.requirement import Requirement
from hotfire.rundir import RunDirectory, file_name
from reports import _cncf_product as product
from reports import _cncf_readme, _cncf_results
from reports._cncf_check import folder_problems, product_problems
from reports._cncf_items import Item, items, minor_version
from reports._cncf_log import NAME as LOG
from reports._cncf_log import log
from reports._words import portable

_EVIDENCE = [_cncf_readme.NAME, LOG, _cncf_results.JUNIT, _cncf_results.RESULTS]
_ADDRESSES = ("https://", "http://")


def place(run: RunDirectory) -> str:
    """Return the folder of a run as the programme names it: v1.36/acme."""
    return f"{minor_version(run.info())}/{file_name(run.info().target_name).lower()}"


def files(run: RunDirectory, folder: Path, wanted: Iterable[Requirement]) -> dict[str, str]:
    """Return the text of each file by its path below a folder.

    Args:
        run: What was recorded.
        folder: Where the files will lie; what a vendor filled in there is kept.
        wanted: Every requirement of the suites, for those that the run left out.
    """
    path, version = folder / place(run) / product.NAME, minor_version(run.info())
    kept = product.read(path) if path.exists() else None
    found = items(run, wanted, kept)
    facts = product.metadata(version, run.info(), kept)
    yaml = portable(product.text(facts, _spec(found, kept)), run)
    lines = log(run, found)
    left = product_problems(product.parsed(yaml), version)
    texts = {
        product.NAME: yaml,
        _cncf_readme.NAME: _cncf_readme.readme(run, found, lines, left),
        _cncf_results.JUNIT: _cncf_results.junit(run, found),
        _cncf_results.RESULTS: _cncf_results.results(run, found),
        LOG: lines.text,
    }
    return {f"{place(run)}/{name}": text for name, text in texts.items()}


def problems(run: RunDirectory, folder: Path) -> list[str]:
    """Return what stands between the files in a folder and a submission."""
    return folder_problems(folder / place(run))


def _spec(found: Iterable[Item], kept: product.Product | None) -> dict[str, list[product.Entry]]:
    spec: dict[str, list[product.Entry]] = {}
    for item in found:
        former = kept.entry(item.category, item.name) if kept else None
        spec.setdefault(item.category, []).append(_entry(item, former))
    return spec


def _entry(item: Item, former: product.Entry | None) -> product.Entry:
    own = former or product.Entry(id=item.name, level=item.level.value)
    words = item.description
    if product.unfilled(words):
        words = product.todo("its words in the programme's checklist")
    if not item.standings:
        # Nothing was measured: whatever is claimed is the vendor's to claim, and to prove.
        return own.model_copy(update={"description": words, "evidence": own.evidence or []})
    addresses = [each for each in own.evidence or () if each.startswith(_ADDRESSES)]
    # A recommendation with evidence and no status is refused; with neither it is passed over.
    return product.Entry(
        id=item.name,
        description=words,
        level=item.level.value,
        status=item.status,
        evidence=[*_EVIDENCE, *addresses] if item.status else [],
        notes=(own.notes or "").partition("hotfire: ")[0] + item.notes,
    )
