"""What a platform keeps in order over time, as the target file declares it."""

from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

from hotfire.section import STRICT, Seconds


class KeptLog(BaseModel):
    """A log, and how long what is written there stays."""

    model_config = STRICT

    ends: list[str] = Field(min_length=1)
    """Command that prints when the log's oldest entry was written, and then when its newest was:
    each as RFC 3339 on a line of its own."""
    kept_seconds: Seconds
    """Age up to which every entry is there."""
    gone_seconds: Seconds | None = None
    """Age beyond which none is, where what users did is not to be kept for ever; None: nothing is
    declared."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.gone_seconds is not None and self.gone_seconds <= self.kept_seconds:
            raise ValueError("gone_seconds must be more than kept_seconds")
        return self


class EtcdBackup(BaseModel):
    """How the platform backs etcd up, and how what it made is restored."""

    model_config = STRICT

    take: list[str] = Field(min_length=1)
    """Command that makes a backup as the platform does, and prints where it is as its last line."""
    restore: list[str] = Field(min_length=1)
    """Command that restores a backup on a scratch member, and prints what that holds as ``etcdctl
    get / --prefix --keys-only --write-out=json`` does; where the backup is, is added as its last
    word. The member is gone when it ends."""
    restore_seconds: Seconds = 600.0
    """How long that may take, as declared; for ten minutes what runs needs nothing of it."""


class Upkeep(BaseModel):
    """Promises that nobody notices until the day on which they are broken."""

    model_config = STRICT

    certificate_life_seconds: Seconds = 604_800.0
    """Least remaining life of a certificate that a server on the path shows; a week, in which a
    renewal that failed can still be mended."""
    logs: dict[Literal["audit", "requests"], KeptLog] = {}
    """Those of which is declared how long they are kept: the API server's audit log, and the
    gateway's log of requests."""
    etcd_backup: EtcdBackup | None = None
    """What saves the cluster's objects; None: nothing is declared."""
