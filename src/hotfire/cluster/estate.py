"""What hotfire made in a cluster for one target: recorded with its uid, and removed by it only."""

import hashlib
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from hotfire.cluster import namespaces
from hotfire.cluster.calls import Document
from hotfire.cluster.client import Cluster
from hotfire.cluster.marks import OWNER_LABEL, RUN_LABEL, UNDO_LABEL, not_ours
from hotfire.errors import Conflict, ProfileError

MADE_LABEL: Final = "hotfire.dev/made"
_NONCE: Final = "hotfire.dev/made-by"
_KEY: Final = "made.json"
# The agents and a load's workers need it, and nothing but ours is ever in there.
_PRIVILEGED: Final = {"pod-security.kubernetes.io/enforce": "privileged"}


class Made(BaseModel):
    """One object of no namespace, a namespace above all; what lies in those goes with them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cluster_uid: str
    owner: str
    """System namespace of the target it was made for."""
    run_id: str
    kind: str
    api_version: str
    name: str
    nonce: str
    """Written on the object, too: whoever died before learning its uid still knows it by this."""
    uid: str = ""
    """Empty: about to be made."""
    gone: bool = False
    """Whether it was removed, and nobody has to look for it any more."""

    @property
    def is_system(self) -> bool:
        """Whether it is the system namespace itself, which goes last."""
        return (self.kind, self.name) == ("Namespace", self.owner)

    @property
    def record_name(self) -> str:
        """Name of the ConfigMap that records it."""
        digest = hashlib.sha256(f"{self.kind}/{self.name}/{self.nonce}".encode()).hexdigest()
        return f"hotfire-made-{digest[:16]}"


class Estate:
    """The record of one target's belongings, in its system namespace and in the run's journal."""

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        *,
        run_id: str,
        journal: Path | None = None,
        journals: Iterable[Path] = (),
    ) -> None:
        """Use the system namespace ``namespace``.

        Args:
            cluster: Where.
            namespace: The target's system namespace.
            run_id: Who makes things.
            journal: File on this disk that tells what this run made.
            journals: Those of earlier runs, to be read only.
        """
        self._cluster = cluster
        self._namespace = namespace
        self._run_id = run_id
        self._journal = journal
        self._journals = [*journals, *([journal] if journal else [])]

    # Having

    def open(self) -> bool:
        """Have the system namespace; return whether it was made now.

        Raises:
            ProfileError: one of that name is there and does not carry this target's mark.
        """
        if not self._cluster.has_namespace(self._namespace):
            # Somebody may be faster; whose it then is shows below.
            with suppress(ProfileError):
                self.namespace(self._namespace, labels=_PRIVILEGED)
                return True
        refuse_foreign_system(self._cluster, self._namespace)
        return False

    def namespace(self, name: str, *, labels: dict[str, str] | None = None) -> Made:
        """Have a namespace: made now, or made by an earlier run of this target.

        Raises:
            ProfileError: it exists, and there is no record that this target made it.
        """
        if (mine := self.mine("Namespace", name)) is not None:
            return mine
        made = self._announce("Namespace", "v1", name)
        marks = {_NONCE: made.nonce}
        try:
            created = namespaces.create(
                self._cluster, name, run_id=self._run_id, labels=labels, annotations=marks
            )
        except ProfileError:
            self.forget(made)
            raise
        return self._record(made.model_copy(update={"uid": str(created["metadata"]["uid"])}))

    def create(self, document: Document) -> Made:
        """Have another object of no namespace, as a document says it.

        Raises:
            ProfileError: it exists, and there is no record that this target made it.
        """
        kind, version, metadata = document["kind"], document["apiVersion"], document["metadata"]
        name = metadata["name"]
        if (mine := self.mine(kind, name, api_version=version)) is not None:
            self._cluster.apply([document])
            return mine
        made = self._announce(kind, version, name)
        annotations = {**(metadata.get("annotations") or {}), _NONCE: made.nonce}
        labels = {**(metadata.get("labels") or {}), RUN_LABEL: self._run_id}
        marked = {**metadata, "labels": labels, "annotations": annotations}
        try:
            created = self._cluster.create({**document, "metadata": marked})
        except Conflict as error:
            self.forget(made)
            raise ProfileError(not_ours(kind, name)) from error
        return self._record(made.model_copy(update={"uid": str(created["metadata"]["uid"])}))

    def mine(self, kind: str, name: str, *, api_version: str = "v1") -> Made | None:
        """Return the record of an object as it now is; None where there is no such object.

        Raises:
            ProfileError: the object exists without a record of its uid.
        """
        found = self._cluster.get(kind, None, name, api_version=api_version)
        if found is None or found["metadata"].get("deletionTimestamp"):
            return None
        for made in self.made():
            if (made.kind, made.name) == (kind, name) and self._is(found, made):
                return made.model_copy(update={"uid": str(found["metadata"]["uid"])})
        raise ProfileError(not_ours("namespace" if kind == "Namespace" else kind, name))

    def made(self) -> list[Made]:
        """Return what the system namespace and the journal record, each once."""
        uid = self._cluster.uid()
        told = [made for path in self._journals for made in read(path)]
        found = [*told, *self._recorded()]
        mine = [one for one in found if (one.cluster_uid, one.owner) == (uid, self._namespace)]
        last = {(one.kind, one.name, one.nonce): one for one in mine}
        return [one for one in last.values() if not one.gone]

    # Giving back

    def delete(self, made: Made) -> bool:
        """Start deleting the very object that was made; False where that is gone already."""
        found = self._cluster.get(made.kind, None, made.name, api_version=made.api_version)
        if found is None or not self._is(found, made):
            return False
        uid = str(found["metadata"]["uid"])
        if made.kind == "Namespace":
            return namespaces.delete(self._cluster, made.name, uid=uid, pods_grace_seconds=1)
        return self._cluster.delete(
            made.kind, None, made.name, uid=uid, api_version=made.api_version
        )

    def forget(self, made: Made) -> None:
        """Remove the record of what is gone, or on its way out."""
        self._cluster.delete("ConfigMap", self._namespace, made.record_name)
        gone = made.model_copy(update={"gone": True})
        for path in self._journals:
            if made.nonce in {one.nonce for one in read(path)}:
                append(path, gone)

    def remove(self, made: Made) -> None:
        """Delete what was made, and its record."""
        self.delete(made)
        self.forget(made)

    def close(self) -> bool:
        """Start deleting the system namespace if it was made for this and nothing needs it.

        It stays while it records anything else, holds an undo copy or the agents: `hotfire heal`
        needs them. Return whether it goes.
        """
        own = [one for one in self.made() if one.is_system]
        others = [one for one in self._recorded() if not one.is_system]
        if not own or others or self._in_use():
            return False
        going = [one for one in own if self.delete(one)]
        for one in going:
            self.forget(one)
        return bool(going)

    # Parts

    def _is(self, found: Document, made: Made) -> bool:
        """Return whether this is the very object that was made, and still bears our mark."""
        metadata = found["metadata"]
        if not self._cluster.owns(found):
            return False
        if made.uid:
            return bool(metadata["uid"] == made.uid)
        return bool((metadata.get("annotations") or {}).get(_NONCE) == made.nonce)

    def _in_use(self) -> bool:
        undo = self._cluster.list("ConfigMap", self._namespace, selector=f"{UNDO_LABEL}=true")
        agents = self._cluster.list("DaemonSet", self._namespace, api_version="apps/v1")
        return bool(undo or agents)

    def _announce(self, kind: str, api_version: str, name: str) -> Made:
        """Write ahead that an object is about to be made."""
        made = Made(
            cluster_uid=self._cluster.uid(),
            owner=self._namespace,
            run_id=self._run_id,
            kind=kind,
            api_version=api_version,
            name=name,
            nonce=secrets.token_hex(8),
        )
        # Before the system namespace there is, only this disk can know of it.
        if name == self._namespace:
            append(self._journal, made)
            return made
        return self._record(made)

    def _record(self, made: Made) -> Made:
        append(self._journal, made)
        record = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": made.record_name,
                "namespace": self._namespace,
                "labels": {MADE_LABEL: "true", RUN_LABEL: made.run_id},
            },
            "data": {_KEY: made.model_dump_json()},
        }
        self._cluster.apply([record])
        return made

    def _recorded(self) -> list[Made]:
        found = self._cluster.list("ConfigMap", self._namespace, selector=f"{MADE_LABEL}=true")
        return [made for one in found if (made := _parsed((one.get("data") or {}).get(_KEY)))]


def refuse_foreign_system(cluster: Cluster, name: str) -> None:
    """Refuse a system namespace that is there and is not this target's.

    Raises:
        ProfileError: it does not carry the mark.
    """
    found = cluster.get("Namespace", None, name)
    if found is not None and not cluster.owns(found):
        hint = f" (one made for hotfire beforehand carries the label {OWNER_LABEL}={name})"
        raise ProfileError(not_ours("system_namespace", name) + hint)


def append(journal: Path | None, made: Made) -> None:
    """Add one line to a run's journal of what was made, and have it on the disk."""
    if journal is None:
        return
    journal.parent.mkdir(parents=True, exist_ok=True)
    with journal.open("ab") as file:
        file.write(made.model_dump_json().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read(journal: Path) -> list[Made]:
    """Return what a journal tells, as far as it can be read; empty when there is none."""
    if not journal.exists():
        return []
    lines = journal.read_bytes().splitlines()
    return [made for line in lines if (made := _parsed(line))]


def _parsed(text: str | bytes | None) -> Made | None:
    """Return a record; None for what is none: it names nothing that may be touched."""
    try:
        return Made.model_validate_json(text or "")
    except ValidationError:
        return None
