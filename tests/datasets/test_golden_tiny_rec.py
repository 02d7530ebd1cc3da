"""Packs that mxnet wrote: both readers give the labels and pixels that the references saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.datasets import _rec, recordio
from stages.datasets import bin as verification
from stages.datasets._encoded import decode
from tests.datasets.samples import READERS
from tests.goldens import golden

DECODERS_DIFFER = 2  # grey levels between libjpeg versions


@golden("btnet/tiny_rec*/expected.npz")
@pytest.mark.parametrize("reader", READERS)
def test_pack(file: Path, reader: str) -> None:
    expected = np.load(file)
    records = list(recordio.read(file.parent, recordio.Params(), reader).records)
    if "n_items" in expected:
        assert len(records) == expected["n_items"]
    if "labels" in expected:
        np.testing.assert_array_equal([record.label for record in records], expected["labels"])
    if "jpeg_len" in expected:
        sizes = [len(record.payload) for record in records]
        np.testing.assert_array_equal(sizes, expected["jpeg_len"])
    if "rgb" in expected:
        for record, rgb in zip(records, expected["rgb"], strict=True):
            assert np.abs(decode(record.payload) - rgb.astype(int)).max() <= DECODERS_DIFFER


@golden("btnet/tiny_rec*/expected.npz")
def test_first_record(file: Path) -> None:
    expected = np.load(file)
    pack = _rec.Reader(file.parent / "train.rec", file.parent / "train.idx")
    header, image = _rec.unpack(pack[0])
    assert len(image) == 0
    assert header.flag == len(expected["header0"])
    np.testing.assert_array_equal(header.label, expected["header0"])


@golden("btnet/tiny_rec*/train.rec")
def test_written_again_it_is_the_same(file: Path, tmp_path: Path) -> None:
    pack = _rec.Reader(file)
    with _rec.Writer(tmp_path / "train.rec", tmp_path / "train.idx") as writer:
        for key, payload in zip(pack.keys.tolist(), pack, strict=True):
            header, image = _rec.unpack(payload)
            writer.write(key, _rec.pack(*header, bytes(image)))
    for name in ("train.rec", "train.idx"):
        assert (tmp_path / name).read_bytes() == (file.parent / name).read_bytes()


@golden("btnet/tiny_rec*/*.bin")
def test_verification_pack(file: Path) -> None:
    source = verification.read(file, verification.Params())
    pairs = source.tables["pairs"]
    assert pairs["first"].shape == pairs["second"].shape == pairs["same"].shape
    images = [decode(record.payload) for record in source.records]
    assert sorted({*pairs["first"], *pairs["second"]}) == list(range(len(images)))
    pack = recordio.read(file.parent, recordio.Params()).records
    in_both = {bytes(record.payload) for record in pack}
    assert all(record.payload in in_both for record in source.records)
