"""Rows are written whole, whatever part of them the kernel takes at a time."""

import os
from pathlib import Path

import pytest

from hotfire.measure.history import Request, load
from hotfire.traffic.record.files import HistoryWriter, line


def test_what_the_kernel_did_not_take_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: whole(fd, data[:100]))
    writer = HistoryWriter(tmp_path / "load.jsonl")

    writer.append(Request(seq=0, sched_ns=1))
    writer.append_lines(line(Request(seq=1, sched_ns=2)) + line(Request(seq=2, sched_ns=3)))
    writer.close()

    assert [row.seq for row in load(tmp_path / "load.jsonl")] == [0, 1, 2]
