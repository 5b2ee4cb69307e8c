"""An experiment file: Chaos Toolkit's format, with our facts in its ``extensions``."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeAlias

import yaml
from chaoslib.exceptions import ChaosException
from chaoslib.experiment import ensure_experiment_is_valid
from pydantic import ValidationError

from hotfire import text_files, yaml_text
from hotfire.chaos.fault import Fault
from hotfire.errors import ProfileError
from hotfire.profile import Budgets, TargetProfile

Document: TypeAlias = dict[str, Any]

OUR_MODULES = ("hotfire.chaos.actions", "hotfire.chaos.probes", "hotfire.experiment.control")
TOOK_EFFECT = "fault-took-effect"
IS_HEALED = "fault-is-healed"
_ROUND = re.compile(r"-r\d+$")
_SHAM = [{"word": "nothing"}]


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment."""

    path: Path
    title: str
    description: str
    fault: Fault
    document: Document

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return a checked experiment.

        Raises:
            ProfileError: it is no valid experiment, names foreign functions, or lacks its rollback,
                its proof of injection or our extension; the message names the file.
        """
        try:
            document = yaml_text.read(text_files.read(path))
            ensure_experiment_is_valid(document)
        except (OSError, ValueError, ChaosException) as error:
            raise ProfileError(f"{path}: no valid experiment: {error}") from error
        return cls.of(document, path)

    @classmethod
    def of(cls, document: Document, path: Path) -> Self:
        """Return the experiment of a document that Chaos Toolkit holds valid already."""
        try:
            blocks = [one for one in document.get("extensions") or () if one["name"] == "hotfire"]
            fault = Fault.model_validate(blocks[0] if blocks else {})
        except ValidationError as error:
            raise ProfileError(f"{path}: extension hotfire: {error}") from error
        if problem := _problem(document):
            raise ProfileError(f"{path}: {problem}")
        description = str(document["description"]).strip()
        return cls(path, str(document["title"]), description, fault, document)

    def sham(self, folder: Path) -> Self:
        """Return this experiment with steps that do nothing, written below a folder.

        Its verdict must be inconclusive: whatever else it says, its proof proves nothing.
        """
        return self._rewritten(folder, steps=_SHAM)

    def named(self, folder: Path, name: str) -> Self:
        """Return this experiment recorded under another name: its id and a number of a round."""
        return self._rewritten(folder / name, id=name)

    def _rewritten(self, folder: Path, **changes: object) -> Self:
        block = next(one for one in self.document["extensions"] if one["name"] == "hotfire")
        others = [one for one in self.document["extensions"] if one is not block]
        document = self.document | {"extensions": [*others, block | changes]}
        path = folder / self.area / self.path.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        return self.load(path)

    @property
    def id(self) -> str:
        """The fault's stable id, such as FLT-POD-001."""
        return self.fault.id

    @property
    def area(self) -> str:
        """The folder it lies in, such as pods."""
        return self.path.parent.name

    @property
    def prose(self) -> str:
        """Statement and rationale, as a requirement wants them."""
        return f"{self.title}\n\n{self.description}"

    def budgets(self, profile: TargetProfile) -> Budgets:
        """Return the experiment's budgets with what the profile says differently."""
        changes = profile.fault_budgets.get(_ROUND.sub("", self.id))
        if changes is None:
            return self.fault.budgets
        named = {name: getattr(changes, name) for name in changes.model_fields_set}
        return self.fault.budgets.model_copy(update=named)


def _problem(document: Document) -> str | None:
    if not document.get("rollbacks"):
        return "a fault must declare its rollback"
    strategy = document.get("runtime", {}).get("rollbacks", {}).get("strategy")
    if strategy != "always":
        # Chaos Toolkit skips rollbacks by default exactly when they matter: on failure.
        return "set runtime.rollbacks.strategy to always"
    names = {activity["name"] for activity in document["method"]}
    if missing := {TOOK_EFFECT, IS_HEALED} - names:
        return f"the method lacks the probe {' and '.join(sorted(missing))}"
    foreign = sorted(_modules(document) - set(OUR_MODULES))
    return f"names {', '.join(foreign)}; use {', '.join(OUR_MODULES)}" if foreign else None


def _modules(document: Document) -> set[str]:
    hypothesis = document.get("steady-state-hypothesis", {}).get("probes", [])
    parts = [*hypothesis, *document["method"], *document["rollbacks"]]
    return {str(one["provider"].get("module")) for one in [*parts, *document.get("controls", [])]}
