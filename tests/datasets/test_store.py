"""Image sets: what goes in comes out, as files or as shards, the same bytes every time."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
import zipfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from stages.core.errors import InputError
from stages.core.index import IN_OWN_FILE, UNKNOWN_LABEL, write_index
from stages.datasets import _store, _zip
from stages.datasets._encoded import decode
from stages.datasets._store import ImageSetWriter, ImageStore
from tests.datasets.samples import jpeg, png

POINTS = np.arange(10, dtype=np.float32)


@pytest.fixture(params=["files", "shards"])
def kept_in(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways for the same few images."""
    if request.param == "shards":
        monkeypatch.setattr(_store, "MOST_FILES", 3)
        monkeypatch.setattr(_store, "SHARD_IMAGES", 4)
    return request.param


def write_set(folder: Path, payloads: list[bytes], **options) -> ImageStore:
    folder.mkdir(parents=True)
    with ImageSetWriter(folder, len(payloads), Path("pack")) as writer:
        for n, payload in enumerate(payloads):
            writer.add(payload, f"record {n}", label=n % 3, **options)
    return ImageStore(folder)


PAYLOADS = [jpeg(n) for n in range(9)] + [png(9)]


def tree(folder: Path) -> dict[str, bytes]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_bytes_and_pixels_come_out_as_they_went_in(tmp_path: Path, kept_in: str) -> None:
    store = write_set(tmp_path / "set", PAYLOADS)
    assert len(store) == 10
    for row, payload in enumerate(PAYLOADS):
        assert store.encoded(row) == payload
        np.testing.assert_array_equal(store.image(row), decode(payload))
    np.testing.assert_array_equal(store.images([7, 9, 2]), [store.image(r) for r in (7, 9, 2)])


def test_index(tmp_path: Path, kept_in: str) -> None:
    index = write_set(tmp_path / "set", PAYLOADS, landmarks=POINTS).index
    assert index.length.tolist() == [len(payload) for payload in PAYLOADS]
    assert index.label.tolist() == [n % 3 for n in range(10)]
    assert index.sha1.tolist() == [hashlib.sha1(payload).hexdigest() for payload in PAYLOADS]
    assert index.source.tolist() == [f"record {n}" for n in range(10)]
    assert index.record.tolist() == list(range(10))
    assert set(index.width) == {16}
    assert set(index.height) == {12}
    np.testing.assert_array_equal(index.landmarks, np.tile(POINTS, (10, 1)))
    if kept_in == "files":
        assert index.path[9] == "images/00000009.png"
        assert set(index.offset) == {IN_OWN_FILE}
    else:
        assert sorted(set(index.path)) == [f"shards/000{n}.zip" for n in range(3)]
        with zipfile.ZipFile(tmp_path / "set" / "shards" / "0002.zip") as shard:
            assert shard.namelist() == ["00000008.jpg", "00000009.png"]


def test_views_outlive_the_pages_they_were_read_into(tmp_path: Path, monkeypatch, kept_in) -> None:
    monkeypatch.setattr(_store, "RESIDENT", 1)
    store = write_set(tmp_path / "set", PAYLOADS)
    assert [store.encoded(row) for row in range(10)] == PAYLOADS


def test_what_is_not_said_is_unknown(tmp_path: Path) -> None:
    with ImageSetWriter(tmp_path, 5, Path("pack")) as writer:
        writer.add(jpeg(0), "a", record=41)
        writer.add(jpeg(1), "b")
    index = ImageStore(tmp_path).index
    assert index.label.tolist() == [UNKNOWN_LABEL] * 2
    assert index.record.tolist() == [41, 1]
    assert np.isnan(index.landmarks).all()


def test_the_same_bytes_every_time(tmp_path: Path, kept_in: str) -> None:
    write_set(tmp_path / "first", PAYLOADS, landmarks=POINTS)
    write_set(tmp_path / "second", PAYLOADS, landmarks=POINTS)
    assert tree(tmp_path / "first") == tree(tmp_path / "second")


@pytest.mark.parametrize("count", [10, 11, 180, 181, 950])
def test_files_of_a_set_do_not_grow_with_it(tmp_path: Path, monkeypatch, count: int) -> None:
    monkeypatch.setattr(_store, "MOST_FILES", 10)
    monkeypatch.setattr(_store, "SHARD_IMAGES", 2)
    store = write_set(tmp_path / "set", [PAYLOADS[n % 10] for n in range(count)])
    assert bytes(store.encoded(count - 1)) == PAYLOADS[(count - 1) % 10]
    assert len(tree(tmp_path / "set")) <= 91  # and up to nine lists: a hundred for version control


def test_shards_of_large_sets(tmp_path: Path) -> None:
    for count, images in ((501, 5_000), (449_000, 5_000), (5_180_000, 57_556), (42e6, 466_667)):
        folder = tmp_path / str(count)
        folder.mkdir()
        shards = _store._Shards(folder, int(count))
        shards.close()
        assert shards._images == images


def test_a_full_zip_is_followed_by_another(tmp_path: Path, monkeypatch, kept_in: str) -> None:
    monkeypatch.setattr(_zip, "MOST_BYTES", 3 * max(map(len, PAYLOADS)))
    store = write_set(tmp_path / "set", PAYLOADS)
    assert [bytes(store.encoded(row)) for row in range(10)] == PAYLOADS


def test_more_images_than_announced(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="more images than the 1"),
        ImageSetWriter(tmp_path, 1, Path("pack")) as writer,
    ):
        writer.add(jpeg(0), "a")
        writer.add(jpeg(0), "b")
    assert not (tmp_path / "index.parquet").exists()


@pytest.mark.parametrize("payload", [b"", b"no image", jpeg(0)[:-2], png(0)[:30]])
def test_a_record_that_is_no_image_is_named(tmp_path: Path, payload: bytes, kept_in: str) -> None:
    with pytest.raises(InputError) as caught:
        write_set(tmp_path / "set", [*PAYLOADS[:4], payload])
    assert caught.value.file == "pack"
    assert caught.value.record == "record 4"
    assert "replace or remove that image" in caught.value.remedy
    assert not (tmp_path / "set" / "index.parquet").exists()


def test_images_of_several_sizes_are_no_batch(tmp_path: Path) -> None:
    store = write_set(tmp_path / "set", [jpeg(0, 20, 20), jpeg(1, 16, 12), jpeg(2, 12, 16)])
    for rows in ([0, 1], [1, 2], []):
        with pytest.raises(ValueError, match="no batch"):
            store.images(rows)
    assert store.images(np.array([1, 1])).shape == (2, 12, 16, 3)
    assert store.image(2).shape == (16, 12, 3)


def test_an_image_that_is_damaged_inside_is_named(tmp_path: Path) -> None:
    """The header says nothing of it, so it shows when the pixels are asked for."""
    payload = jpeg(0, 64, 64)
    damaged = payload[: len(payload) // 2] + payload[-2:]
    store = write_set(tmp_path / "set", [payload, damaged])
    with pytest.raises(InputError) as caught:
        store.images([0, 1])
    assert caught.value.record == "record 1"
    assert "images/00000001.jpg" in caught.value.file


def test_a_set_that_was_cut(tmp_path: Path, kept_in: str) -> None:
    store = write_set(tmp_path / "set", PAYLOADS)
    last = tmp_path / "set" / store.index.path[-1]
    last.write_bytes(last.read_bytes()[:50])
    with pytest.raises(InputError, match=r"(?s)record 9.*run the stage that wrote it again"):
        store.encoded(9)
    first = tmp_path / "set" / store.index.path[0]
    first.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        store.encoded(0)


def test_no_set_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"index\.parquet"):
        ImageStore(tmp_path)


def test_threads_share_a_store(tmp_path: Path, kept_in: str) -> None:
    store = write_set(tmp_path / "set", PAYLOADS)
    rows = list(range(10)) * 20
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(store.image, rows))
    for row, image in zip(rows, images, strict=True):
        np.testing.assert_array_equal(image, decode(PAYLOADS[row]))


@pytest.mark.parametrize("kept_in", ["shards"], indirect=True)
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_processes_share_a_store(tmp_path: Path, start: str, kept_in: str) -> None:
    store = write_set(tmp_path / "set", PAYLOADS)
    store.image(0)  # its map is open before the processes start
    with ProcessPoolExecutor(2, get_context(start)) as pool:
        for row, image in enumerate(pool.map(store.image, range(10))):
            np.testing.assert_array_equal(image, decode(PAYLOADS[row]))


def test_a_pickled_store_is_small(tmp_path: Path) -> None:
    store = write_set(tmp_path / "set", PAYLOADS)
    assert len(pickle.dumps(store)) < 200
    assert pickle.loads(pickle.dumps(store)).encoded(3) == PAYLOADS[3]


def test_reading_needs_neither_torch_nor_pandas() -> None:
    command = "import sys, stages.datasets._store; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True).stdout
    assert not {"torch", "pandas", "sklearn", "scipy", "cv2", "PIL"} & set(loaded.split())


def test_a_flipped_bit_of_an_image_is_seen(tmp_path: Path, kept_in: str) -> None:
    store = write_set(tmp_path / "set", PAYLOADS)
    file = tmp_path / "set" / store.index.path[2]
    content = bytearray(file.read_bytes())
    at = max(0, int(store.index.offset[2])) + 50
    content[at] ^= 1
    file.write_bytes(content)
    store = ImageStore(tmp_path / "set")
    with pytest.raises(InputError, match=r"record 2: its bytes are not those that were written"):
        store.encoded(2)
    assert store.encoded(1) == PAYLOADS[1]


def test_an_index_that_leads_out_of_its_set_is_refused(tmp_path: Path) -> None:
    store = write_set(tmp_path / "set", PAYLOADS)
    (tmp_path / "secret").write_bytes(PAYLOADS[0])
    paths = ["../secret", *list(store.index.path)[1:]]
    changed = replace(store.index, path=np.array(paths, object))
    write_index(tmp_path / "set/index.parquet", changed)
    with pytest.raises(InputError, match="leads out of the set"):
        ImageStore(tmp_path / "set").encoded(0)
