"""RecordIO: our writer and reader against mxnet's byte by byte, and all ways a pack can be bad."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.core.errors import InputError
from stages.datasets import _rec, recordio
from stages.datasets._rec import Header, Reader, Writer, pack, unpack
from stages.datasets.recordio import Params, read
from tests.datasets.samples import READERS, jpeg

MAGIC = struct.pack("<I", 0xCED7230A)
AWKWARD = [
    b"",
    b"a",
    b"abc",
    b"abcd",
    MAGIC,
    MAGIC * 3,
    MAGIC[:3],
    b"abcd" + MAGIC,
    MAGIC + b"abcd",
    MAGIC + b"a",
    b"a" + MAGIC + b"bcd",
    b"ab" + MAGIC + MAGIC + b"cd",
    b"abcd" + MAGIC + b"12345678" + MAGIC + b"xyz",
    b"abcdefgh" + MAGIC[:2],
    b"\0" * 5,
]
FIXED = [AWKWARD, [p * 7 for p in AWKWARD], [bytes(3_000_000)] * 2]
PIECES = st.sampled_from([MAGIC, MAGIC[:2], MAGIC[2:], b"a", b"bc", b"defg", b"\0", bytes(9)])
PAYLOADS = st.lists(st.lists(PIECES, max_size=8).map(b"".join), min_size=1, max_size=12)


@pytest.fixture(scope="session")
def mx() -> ModuleType:
    """The vendor's writer and reader, where it is installed."""
    np.bool = np.bool_  # it asks for the name that NumPy 1.24 dropped
    return pytest.importorskip("mxnet.recordio", reason="mxnet is not installed")


def write_ours(folder: Path, payloads: list[bytes], first: int = 0) -> tuple[Path, Path]:
    rec, idx = folder / "train.rec", folder / "train.idx"
    with Writer(rec, idx) as writer:
        for key, payload in enumerate(payloads, first):
            writer.write(key, payload)
    return rec, idx


def write_theirs(mx: ModuleType, folder: Path, payloads: list[bytes]) -> tuple[Path, Path]:
    rec, idx = folder / "mx.rec", folder / "mx.idx"
    writer = mx.MXIndexedRecordIO(str(idx), str(rec), "w")
    for key, payload in enumerate(payloads):
        writer.write_idx(key, payload)
    writer.close()
    return rec, idx


def insightface(folder: Path, labels: list[float], classes: int | None = 3) -> Path:
    """A pack as InsightFace's face2rec2.py writes it: bound of the ids first, people last."""
    images = [pack(0, label, n, 0, jpeg(n)) for n, label in enumerate(labels, 1)]
    bound = len(images) + 1
    people = [pack(2, [1, bound], bound + person, 0, b"") for person in range(2)]
    write_ours(folder, [pack(2, [bound, bound + 2], 0, 0, b""), *images, *people])
    if classes is not None:
        (folder / "property").write_text(f"{classes},12,16")
    return folder


def naive_records(rec: Path) -> list[bytes]:
    """The format's definition read word by word, without a map, an index or NumPy."""
    data, at, records, parts = rec.read_bytes(), 0, [], []
    while at < len(data):
        magic, word = struct.unpack_from("<II", data, at)
        assert magic == 0xCED7230A
        flag, length = word >> 29, word & (1 << 29) - 1
        parts.append(data[at + 8 : at + 8 + length])
        at += 8 + (length + 3) // 4 * 4
        if flag in (0, 3):
            records.append(MAGIC.join(parts))
            parts = []
    return records


@pytest.mark.parametrize("payloads", FIXED)
def test_a_file_is_what_the_definition_says(tmp_path: Path, payloads: list[bytes]) -> None:
    assert naive_records(write_ours(tmp_path, payloads)[0]) == payloads


@pytest.mark.parametrize("payloads", FIXED)
def test_files_are_byte_for_byte_those_of_mxnet(mx, tmp_path: Path, payloads: list[bytes]) -> None:
    ours, theirs = write_ours(tmp_path, payloads), write_theirs(mx, tmp_path, payloads)
    assert ours[0].read_bytes() == theirs[0].read_bytes()
    assert ours[1].read_bytes() == theirs[1].read_bytes()


@given(payloads=PAYLOADS)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, payloads) -> None:
    folder = tmp_path_factory.mktemp("pack")
    rec, idx = write_ours(folder, payloads)
    assert naive_records(rec) == payloads
    for reader in (Reader(rec, idx), Reader(rec)):
        assert [bytes(payload) for payload in reader] == payloads
        assert [bytes(reader[key]) for key in reversed(range(len(reader)))] == payloads[::-1]


@given(payloads=PAYLOADS)
def test_any_file_is_byte_for_byte_that_of_mxnet(mx, tmp_path_factory, payloads) -> None:
    folder = tmp_path_factory.mktemp("pack")
    ours, theirs = write_ours(folder, payloads), write_theirs(mx, folder, payloads)
    assert ours[0].read_bytes() == theirs[0].read_bytes()
    assert ours[1].read_bytes() == theirs[1].read_bytes()


@given(
    label=st.one_of(
        st.floats(width=32, allow_nan=False),
        st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=5),
    ),
    id=st.integers(0, 2**64 - 1),
    id2=st.integers(0, 2**64 - 1),
    image=st.binary(max_size=20),
)
def test_pack_and_unpack_are_those_of_mxnet(mx, label, id, id2, image) -> None:
    flag = len(label) if isinstance(label, list) else 0
    payload = pack(flag, label, id, id2, image)
    assert payload == mx.pack(mx.IRHeader(flag, label, id, id2), image)
    header, rest = unpack(payload)
    assert rest == image
    assert (header.flag, header.id, header.id2) == (flag, id, id2)
    np.testing.assert_array_equal(np.asarray(header.label, np.float32), np.float32(label))


@pytest.mark.parametrize(("flag", "label"), [(1, 3.0), (0, [3.0]), (2, [3.0]), (1, [[3.0]])])
def test_pack_refuses_a_flag_that_lies(flag: int, label) -> None:
    with pytest.raises(ValueError, match=f"flag {flag}"):
        pack(flag, label, 0, 0, b"")


@pytest.mark.parametrize("with_idx", [True, False])
def test_both_readers_give_the_same_records(mx, tmp_path: Path, with_idx: bool) -> None:
    images = [pack(0, n, n, 7, jpeg(n)) for n in range(30)]
    images[3] = pack(2, [5.0, 6.0], 3, 7, jpeg(3))
    images[4] = pack(0, 4, 4, 7, b"abcdefgh" + MAGIC + b"x")  # split over chunks
    images[5] = pack(0, 5, 5, 7, b"")
    rec, idx = write_ours(tmp_path, images)
    theirs = mx.MXIndexedRecordIO(str(idx), str(rec), "r")
    reader = Reader(rec, idx if with_idx else None)
    order = np.random.default_rng(0).permutation(len(images)).tolist()
    for key, (header, image) in zip(order, reader.unpacked(order), strict=True):
        expected, payload = mx.unpack(theirs.read_idx(key))
        assert (header.flag, header.id, header.id2) == (expected.flag, expected.id, expected.id2)
        np.testing.assert_array_equal(header.label, expected.label)
        assert isinstance(header, Header)
        assert image == payload
        assert reader[key] == theirs.read_idx(key)


def test_views_outlive_the_pages_they_were_read_into(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(_rec, "BLOCK", 2)
    monkeypatch.setattr(_rec, "RESIDENT", 1)
    with Writer(tmp_path / "a.rec", tmp_path / "a.idx") as writer:
        for key in range(9):
            writer.write(key, pack(0, key, key, 0, bytes([key]) * 5000))
    images = [image for _, image in Reader(tmp_path / "a.rec").unpacked(range(9))]
    assert images == [bytes([key]) * 5000 for key in range(9)]


def test_keys_of_the_idx_may_be_any(tmp_path: Path) -> None:
    rec, idx = write_ours(tmp_path, [b"zero", b"one", b"two"])
    offsets = [line.split("\t")[1] for line in idx.read_text().splitlines()]
    idx.write_text(f"40\t{offsets[2]}\n7\t{offsets[0]}\n-3\t{offsets[1]}\n")
    reader = Reader(rec, idx)
    assert [bytes(reader[key]) for key in (7, -3, 40)] == [b"zero", b"one", b"two"]
    with pytest.raises(KeyError):
        reader[0]


@pytest.mark.parametrize("key", [-1, 3])
def test_an_unknown_key_is_a_key_error(tmp_path: Path, key: int) -> None:
    reader = Reader(*write_ours(tmp_path, [b"zero", b"one", b"two"]))
    with pytest.raises(KeyError):
        reader[key]
    with pytest.raises(KeyError):
        list(reader.unpacked([key]))


def test_a_failed_writer_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with Writer(tmp_path / "a.rec", tmp_path / "a.idx") as writer:
            writer.write(0, b"abc")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("reader", READERS)
def test_a_pack_gives_its_images_and_labels(tmp_path: Path, reader: str) -> None:
    source = read(insightface(tmp_path, [2, 0, 1, 2]), Params(), reader)
    assert len(source.records) == 4
    assert [record.label for record in source.records] == [2, 0, 1, 2]
    assert [bytes(record.payload) for record in source.records] == [jpeg(n) for n in range(1, 5)]
    assert [record.name for record in source.records] == [f"record {n}" for n in range(1, 5)]


@pytest.mark.parametrize("reader", READERS)
def test_a_pack_whose_first_record_is_an_image_has_images_only(tmp_path: Path, reader: str) -> None:
    write_ours(tmp_path, [pack(0, n, n, 0, jpeg(n)) for n in range(3)])
    source = read(tmp_path, Params(), reader)
    assert [record.label for record in source.records] == [0, 1, 2]


@pytest.mark.parametrize("reader", READERS)
def test_images_come_in_the_order_of_their_ids(tmp_path: Path, reader: str) -> None:
    _, idx = write_ours(tmp_path, [pack(0, n, n, 0, jpeg(n)) for n in range(4)])
    offsets = [line.split("\t")[1] for line in idx.read_text().splitlines()]
    for keys in ([2, 0, 3, 1], [12, 10, 13, 11]):
        lines = zip(keys, offsets, strict=True)
        idx.write_text("".join(f"{key}\t{offset}\n" for key, offset in lines))
        source = read(tmp_path, Params(), reader)
        assert [record.label for record in source.records] == [1, 3, 0, 2]


@pytest.mark.parametrize("reader", READERS)
def test_a_first_record_that_may_be_header_or_image(tmp_path: Path, reader: str) -> None:
    write_ours(tmp_path, [pack(2, [2, 2], 0, 0, jpeg(0)), pack(0, 1, 1, 0, jpeg(1))])
    with pytest.raises(
        InputError, match="flag 2 makes it the header, and it has an image"
    ) as fault:
        read(tmp_path, Params(), reader)
    assert fault.value.record == 0


def test_a_pack_needs_no_idx(tmp_path: Path) -> None:
    insightface(tmp_path, [2, 0, 1])
    (tmp_path / "train.idx").unlink()
    assert [record.label for record in read(tmp_path, Params()).records] == [2, 0, 1]


def test_of_several_labels_the_first_counts(tmp_path: Path) -> None:
    first = pack(0, 1, 0, 0, jpeg(0))
    write_ours(tmp_path, [first, pack(3, [2, 9, 9], 1, 0, jpeg(1))])
    assert [record.label for record in read(tmp_path, Params()).records] == [1, 2]


# ---- what is wrong with the pack, which record is named, and the remedy -----------------------


def fault(folder: Path, reader: str = "native") -> InputError:
    with pytest.raises(InputError) as caught:
        list(read(folder, Params(), reader).records)
    return caught.value


@pytest.mark.parametrize("cut", [1, 7, 40, 300])
@pytest.mark.parametrize("with_idx", [True, False])
def test_a_rec_cut_short(tmp_path: Path, cut: int, with_idx: bool) -> None:
    write_ours(tmp_path, [pack(0, n, n, 0, jpeg(n)) for n in range(3)])
    rec = tmp_path / "train.rec"
    rec.write_bytes(rec.read_bytes()[:-cut])
    if not with_idx:
        (tmp_path / "train.idx").unlink()
    error = fault(tmp_path)
    assert error.record == 2
    assert error.file == str(rec)
    assert "get it again" in error.remedy or "get the pack again" in error.remedy


@pytest.mark.parametrize("with_idx", [True, False])
@pytest.mark.parametrize("record", range(4))
@pytest.mark.parametrize("bit", [0, 31])
def test_a_flipped_bit_in_a_magic(tmp_path: Path, with_idx: bool, record: int, bit: int) -> None:
    rec, idx = write_ours(tmp_path, [pack(0, n, n, 0, jpeg(n)) for n in range(4)])
    at = int(idx.read_text().splitlines()[record].split()[1])
    data = bytearray(rec.read_bytes())
    data[at + bit // 8] ^= 1 << bit % 8
    rec.write_bytes(data)
    if not with_idx:
        idx.unlink()
    error = fault(tmp_path)
    assert error.record == record
    assert f"no magic number at byte {at}" in error.problem
    assert ("remove the .idx" if with_idx else "get it again") in error.remedy


@pytest.mark.parametrize("offset", ["999999", "4", "2", "-8", "99999999999999"])
@pytest.mark.parametrize("line", [1, 3])
def test_an_idx_that_points_elsewhere(tmp_path: Path, offset: str, line: int) -> None:
    _, idx = write_ours(tmp_path, [pack(0, n, n, 0, jpeg(n)) for n in range(4)])
    lines = idx.read_text().splitlines()
    lines[line] = f"{line}\t{offset}"
    idx.write_text("\n".join(lines) + "\n")
    error = fault(tmp_path)
    assert error.record in (line, line - 1, 0)  # the record before then has no end either
    assert "remove the .idx" in error.remedy
    idx.unlink()
    assert len(list(read(tmp_path, Params()).records)) == 4


def test_an_idx_that_lists_fewer_records(tmp_path: Path) -> None:
    _, idx = write_ours(tmp_path, [pack(0, n, n, 0, jpeg(n)) for n in range(4)])
    lines = idx.read_text().splitlines()
    for kept in (lines[:3], lines[1:], [lines[0], *lines[2:]]):
        idx.write_text("\n".join(kept) + "\n")
        assert "remove the .idx" in fault(tmp_path).remedy


def test_an_idx_without_an_image_of_the_bound(tmp_path: Path) -> None:
    insightface(tmp_path, [0, 1, 2])
    idx = tmp_path / "train.idx"
    idx.write_text(idx.read_text().replace("2\t", "9\t", 1))
    error = fault(tmp_path)
    assert (error.record, error.problem) == (2, "not in the .idx")
    assert "remove the .idx" in error.remedy


@pytest.mark.parametrize("text", ["", "0 x\n", "0\n", "0\t0\n1\t1.5\n", "0\t0\t0\n"])
def test_an_idx_that_is_none(tmp_path: Path, text: str) -> None:
    _, idx = write_ours(tmp_path, [pack(0, 0, 0, 0, jpeg(0))])
    idx.write_text(text)
    error = fault(tmp_path)
    assert error.file == str(idx)
    assert "line" in error.record
    assert "remove the .idx" in error.remedy


@pytest.mark.parametrize("reader", READERS)
def test_an_idx_that_lists_a_key_twice(tmp_path: Path, reader: str) -> None:
    _, idx = write_ours(tmp_path, [pack(0, n, n, 0, jpeg(n)) for n in range(3)])
    idx.write_text(idx.read_text().replace("\n2\t", "\n1\t"))
    error = fault(tmp_path, reader)
    assert error.record == 1
    assert "more than once" in error.problem


@pytest.mark.parametrize("content", [b"", b"abc", b"\x89PNG" * 10])
def test_a_rec_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "train.rec").write_bytes(content)
    error = fault(tmp_path)
    assert error.file == str(tmp_path / "train.rec")
    assert "get it again" in error.remedy


@pytest.mark.parametrize("flags", [[2], [3], [1, 0], [1, 1], [4]])
@pytest.mark.parametrize("with_idx", [True, False])
def test_continuation_flags_out_of_order(tmp_path: Path, flags: list[int], with_idx: bool) -> None:
    rec = b"".join(struct.pack("<II", 0xCED7230A, f << 29 | 4) + b"abcd" for f in [0, *flags])
    (tmp_path / "train.rec").write_bytes(rec)
    if with_idx:
        (tmp_path / "train.idx").write_text("0\t0\n1\t12\n")
    with pytest.raises(InputError):
        list(Reader(tmp_path / "train.rec", tmp_path / "train.idx"))


@pytest.mark.parametrize("label", [3.0, -1.0, 0.5, float("nan"), float("inf")])
@pytest.mark.parametrize("reader", READERS)
def test_a_label_beyond_the_classes(tmp_path: Path, label: float, reader: str) -> None:
    error = fault(insightface(tmp_path, [0, 1, label, 2]), reader)
    assert error.record == 3
    assert "no class of 0..2" in error.problem
    assert "property" in error.remedy


@pytest.mark.parametrize("payload", [b"", b"short", struct.pack("<IfQQ", 9, 0, 0, 0) + b"few"])
def test_a_record_too_short_for_its_header(tmp_path: Path, payload: bytes) -> None:
    write_ours(tmp_path, [pack(0, 0, 0, 0, jpeg(0)), payload])
    error = fault(tmp_path)
    assert error.record == 1
    assert "too few" in error.problem


@pytest.mark.parametrize("bound", [0.0, -3.0, 1.5, float("nan"), float("inf"), 1e30])
def test_a_bound_that_is_none(tmp_path: Path, bound: float) -> None:
    write_ours(tmp_path, [pack(2, [bound, 9], 0, 0, b""), pack(0, 0, 1, 0, jpeg(0))])
    assert fault(tmp_path).record in (0, 2)


def test_a_property_that_is_none(tmp_path: Path) -> None:
    insightface(tmp_path, [0, 1])
    (tmp_path / "property").write_text("many")
    assert fault(tmp_path).file == str(tmp_path / "property")


def test_a_missing_pack_says_what_belongs_there(tmp_path: Path) -> None:
    error = fault(tmp_path / "nowhere")
    assert "train.rec, train.idx, property" in error.remedy
    assert "insightface" in error.remedy


def test_mxnet_needs_the_idx(mx, tmp_path: Path) -> None:
    insightface(tmp_path, [0])
    (tmp_path / "train.idx").unlink()
    assert "native" in fault(tmp_path, "mxnet").remedy


def test_mxnet_is_asked_for_but_absent(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(recordio, "find_spec", lambda name: None)
    error = fault(insightface(tmp_path, [0]), "mxnet")
    assert (error.file, "native" in error.remedy) == ("mxnet", True)


def test_mxnet_failing_is_named(mx, tmp_path: Path) -> None:
    rec, idx = write_ours(tmp_path, [pack(0, n, n, 0, jpeg(n)) for n in range(3)])
    data = bytearray(rec.read_bytes())
    data[int(idx.read_text().splitlines()[1].split()[1])] ^= 1
    rec.write_bytes(data)
    assert fault(tmp_path, "mxnet").record == 1


@given(data=st.data())
def test_any_damage_is_named_or_harmless(tmp_path_factory: pytest.TempPathFactory, data) -> None:
    """Bytes changed or cut anywhere, in either file: an InputError, or records; nothing else."""
    folder = insightface(tmp_path_factory.mktemp("pack"), [0, 1, 2, 1])
    file = folder / data.draw(st.sampled_from(["train.rec", "train.idx"]))
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    if data.draw(st.booleans()):
        (folder / "train.idx").unlink()
    with suppress(InputError):
        assert len(list(read(folder, Params()).records)) <= 7
