"""Our shards against Python's zipfile."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.datasets import _zip
from stages.datasets._zip import ZipShard


def shard(path: Path, payloads: list[bytes]) -> list[int]:
    zipped = ZipShard(path)
    offsets = [zipped.add(f"{n:08d}.jpg", payload) for n, payload in enumerate(payloads)]
    assert len(zipped) == len(payloads)
    zipped.close()
    return offsets


@given(payloads=st.lists(st.binary(max_size=40), max_size=8))
def test_zipfile_reads_it(tmp_path_factory: pytest.TempPathFactory, payloads: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("shard") / "0.zip"
    offsets = shard(path, payloads)
    data = path.read_bytes()
    with zipfile.ZipFile(path) as theirs:
        assert theirs.testzip() is None
        assert theirs.namelist() == [f"{n:08d}.jpg" for n in range(len(payloads))]
        for entry, payload, offset in zip(theirs.infolist(), payloads, offsets, strict=True):
            assert theirs.read(entry) == payload
            assert data[offset : offset + len(payload)] == payload
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)
            assert entry.compress_type == zipfile.ZIP_STORED


def test_zipfile_writes_the_same_entries(tmp_path: Path) -> None:
    payloads = [b"one", b"", b"three" * 100]
    shard(tmp_path / "ours.zip", payloads)
    with zipfile.ZipFile(tmp_path / "theirs.zip", "w") as theirs:
        for n, payload in enumerate(payloads):
            theirs.writestr(zipfile.ZipInfo(f"{n:08d}.jpg"), payload)
    ours, theirs = ((tmp_path / f"{name}.zip").read_bytes() for name in ("ours", "theirs"))
    assert len(ours) == len(theirs)
    assert ours[30:44] == theirs[30:44]


@pytest.mark.parametrize("count", [_zip.UNTOLD - 1, _zip.UNTOLD, _zip.UNTOLD + 1])
def test_more_entries_than_plain_zip_counts(tmp_path: Path, count: int) -> None:
    shard(tmp_path / "ours.zip", [b""] * count)
    with zipfile.ZipFile(tmp_path / "ours.zip") as ours:
        assert len(ours.namelist()) == count
        assert ours.testzip() is None
    with zipfile.ZipFile(tmp_path / "theirs.zip", "w") as theirs:
        for n in range(count):
            theirs.writestr(zipfile.ZipInfo(f"{n:08d}.jpg"), b"")
    sizes = [(tmp_path / f"{name}.zip").stat().st_size for name in ("ours", "theirs")]
    # Python counts to 65535 itself, which is ZIP64's mark
    assert sizes[0] - sizes[1] == (76 if count == _zip.UNTOLD else 0)


@pytest.mark.parametrize("untold", [_zip.UNTOLD, 2])
def test_room_in_bytes_is_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, untold: int
) -> None:
    monkeypatch.setattr(_zip, "UNTOLD", untold)
    shard(tmp_path / "whole.zip", [b"abc", b"defgh"])
    size = (tmp_path / "whole.zip").stat().st_size
    for limit, fits in ((size, True), (size - 1, False)):
        monkeypatch.setattr(_zip, "MOST_BYTES", limit)
        zipped = ZipShard(tmp_path / "0.zip")
        zipped.add("00000000.jpg", b"abc")
        assert zipped.has_room("00000001.jpg", b"defgh") == fits
        zipped.close()
