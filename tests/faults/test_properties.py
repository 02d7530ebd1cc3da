"""Write then read is identity, and any damage is refused or harmless, for bytes of all kinds."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.check.code import ROOT
from stages.core.errors import InputError
from stages.core.index import read_table, write_table
from stages.core.params import read_params
from stages.core.weights import load_weights, save_weights
from stages.datasets import bin as packs
from stages.datasets._encoded import decode, inspect
from stages.datasets._features import read_features
from stages.datasets._rec import Reader, Writer
from stages.datasets._store import MOST_FILES, ImageSetWriter, ImageStore
from tests.datasets.samples import jpeg, png

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=8)
FLOATS = st.floats(-1e6, 1e6, width=32)
DAMAGE = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1)


# Numbers of embeddings: not whole, as labels are, and of lengths whose square float32 holds.
FRACTIONS = st.integers(-(10**6), 10**6).map(lambda number: (number + 0.25) / 8)


def matrix(
    rows: int, columns: int, of: st.SearchStrategy[float] = FLOATS
) -> st.SearchStrategy[np.ndarray]:
    numbers = st.lists(of, min_size=rows * columns, max_size=rows * columns)
    return numbers.map(lambda v: np.array(v, np.float32).reshape(rows, columns))


def unless_refused(read: Callable[[], object], file: Path) -> object:
    """What `read` gives; None if it refuses `file` by name."""
    try:
        return read()
    except InputError as error:
        refused = error
    assert refused.file == str(file)
    assert refused.remedy
    return None


def damaged(content: bytes, changes: list[tuple[float, int]]) -> bytes:
    made = bytearray(content)
    for place, change in changes:
        made[int(place * len(made))] ^= change
    return bytes(made)


@given(st.lists(st.tuples(TEXT, st.integers(-(2**63), 2**63 - 1), st.booleans()), max_size=5))
def test_tables(rows: list[tuple[str, int, bool]]) -> None:
    columns = {
        "text": np.array([row[0] for row in rows], object),
        "number": np.array([row[1] for row in rows], np.int64),
        "flag": np.array([row[2] for row in rows], bool),
    }
    with TemporaryDirectory() as folder:
        write_table(Path(folder, "a.parquet"), columns)
        read = read_table(Path(folder, "a.parquet"))
    assert {name: list(read[name]) for name in read} == {
        name: list(column) for name, column in columns.items()
    }


@given(st.dictionaries(st.sampled_from("abcd"), matrix(2, 3)), st.dictionaries(TEXT, FLOATS))
def test_weights(tensors: dict[str, np.ndarray], header: dict[str, float]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "weights.safetensors")
        save_weights(path, {k: torch.from_numpy(v) for k, v in tensors.items()}, header)
        read, told = load_weights(path)
    assert told == header
    assert read.keys() == tensors.keys()
    for name, tensor in read.items():
        np.testing.assert_array_equal(tensor.numpy(), tensors[name])


def as_pickle(path: Path, numbers: np.ndarray) -> None:
    path.write_bytes(pickle.dumps({"img_feats": numbers}))


def as_list(path: Path, numbers: np.ndarray) -> None:
    rows = (" ".join(map(repr, row)) for row in numbers.tolist())
    path.write_text("".join(f"{number}.jpg {row}\n" for number, row in enumerate(rows)))


FEATURES: dict[str, Callable[[Path, np.ndarray], None]] = {
    "a.npy": np.save,
    "a.npz": lambda path, numbers: np.savez_compressed(path, features=numbers),
    "a.pickle": as_pickle,
    "a.list": as_list,
}


@pytest.mark.parametrize("name", FEATURES)
@given(numbers=matrix(3, 2, FRACTIONS), changes=DAMAGE)
def test_features(name: str, numbers: np.ndarray, changes: list[tuple[float, int]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, name)
        FEATURES[name](path, numbers)
        np.testing.assert_array_equal(read_features(path)["embedding"], numbers)
        path.write_bytes(damaged(path.read_bytes(), changes))
        read = unless_refused(lambda: read_features(path)["embedding"], path)
        if read is not None:
            assert read.dtype == np.float32
            assert read.ndim == 2
            assert np.isfinite(read).all()


@given(st.lists(st.booleans(), min_size=1, max_size=4), st.integers(0, 5), DAMAGE)
def test_packs(same: list[bool], protocol: int, changes: list[tuple[float, int]]) -> None:
    images = [bytes([number]) * 9 for number in range(2 * len(same))]
    with TemporaryDirectory() as folder:
        path = Path(folder, "pack.bin")
        path.write_bytes(pickle.dumps((images, same), protocol))
        source = packs.read(path, packs.Params())
        assert [record.payload for record in source.records] == images
        assert source.tables["pairs"]["same"].tolist() == same
        path.write_bytes(damaged(path.read_bytes(), changes))
        source = unless_refused(lambda: packs.read(path, packs.Params()), path)
        if source is not None:
            assert all(isinstance(record.payload, bytes) for record in source.records)


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=4), DAMAGE)
def test_records(payloads: list[bytes], changes: list[tuple[float, int]]) -> None:
    with TemporaryDirectory() as folder:
        rec, idx = Path(folder, "a.rec"), Path(folder, "a.idx")
        with Writer(rec, idx) as writer:
            for key, payload in enumerate(payloads):
                writer.write(key, payload)
        assert list(map(bytes, Reader(rec, idx))) == payloads
        assert list(map(bytes, Reader(rec))) == payloads
        rec.write_bytes(damaged(rec.read_bytes(), changes))
        read = unless_refused(lambda: list(map(bytes, Reader(rec, idx))), rec)
        assert read is None or len(read) == len(payloads)


@pytest.mark.parametrize("count", [4, MOST_FILES + 1], ids=["files", "shards"])
@given(numbers=st.lists(st.integers(0, 9), min_size=1, max_size=4), changes=DAMAGE)
def test_image_sets(count: int, numbers: list[int], changes: list[tuple[float, int]]) -> None:
    """Damage to what holds the images: each is what was written, or is refused by name."""
    payloads = [(png if number % 2 else jpeg)(number) for number in numbers]
    with TemporaryDirectory() as folder:
        place = Path(folder)
        with ImageSetWriter(place, count, place) as writer:
            for number, payload in enumerate(payloads):
                writer.add(payload, f"image {number}")
        store = ImageStore(place)
        assert [bytes(store.encoded(row)) for row in range(len(store))] == payloads
        file = next(f for f in sorted(place.rglob("*")) if f.suffix in (".jpg", ".png", ".zip"))
        file.write_bytes(damaged(file.read_bytes(), changes))
        store = ImageStore(place)
        for row, payload in enumerate(payloads):
            where = place / store.index.path[row]
            read = unless_refused(lambda row=row: bytes(store.encoded(row)), where)
            assert read in (None, payload)


@pytest.mark.parametrize("make", [jpeg, png])
@given(changes=DAMAGE)
def test_pictures(make: Callable[[int], bytes], changes: list[tuple[float, int]]) -> None:
    payload = damaged(make(3), changes)
    try:
        kind = inspect(payload)
        image = decode(payload)
    except ValueError:
        return
    assert image.shape == (kind.height, kind.width, 3)


PARAMS = (ROOT / "params.yaml").read_bytes()


@given(DAMAGE)
def test_params(changes: list[tuple[float, int]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "params.yaml")
        path.write_bytes(damaged(PARAMS, changes))
        read = unless_refused(lambda: read_params(path), path)
        assert read is None or isinstance(read, dict)
