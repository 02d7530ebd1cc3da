from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from stages.core.errors import InputError
from stages.core.index import (
    Index,
    read_index,
    read_pieces,
    read_table,
    write_index,
    write_table,
)


def example(rows: int) -> Index:
    rng = np.random.default_rng(0)
    text = np.array([f"né {i}" for i in range(rows)], dtype=object)
    whole = np.arange(rows, dtype=np.int64)
    return Index(
        path=text,
        offset=whole - 1,
        length=whole * 7,
        label=whole % 3,
        width=whole.astype(np.int32),
        height=whole.astype(np.int32),
        sha1=text,
        source=text,
        record=whole[::-1].copy(),
        landmarks=rng.random((rows, 10)).astype(np.float32),
    )


@pytest.mark.parametrize("rows", [0, 1, 17])
def test_read_gives_what_was_written(tmp_path, rows: int) -> None:
    index = example(rows)
    write_index(tmp_path / "index.parquet", index)
    back = read_index(tmp_path / "index.parquet")
    for field in fields(Index):
        expected, got = getattr(index, field.name), getattr(back, field.name)
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == expected.dtype


def test_text_is_an_array_to_numpy_and_a_list_to_python(tmp_path) -> None:
    words = ["", "né", "b", "né"]
    write_table(tmp_path / "t", {"text": np.array(words, object)})
    text = read_table(tmp_path / "t")["text"]
    assert [len(text), text[1], text[np.int64(-2)]] == [4, "né", "b"]
    assert list(text) == text.tolist() == words
    assert text[1:3].tolist() == text[np.array([False, True, True, False])].tolist() == ["né", "b"]
    assert np.unique(text).tolist() == ["", "b", "né"]
    assert np.asarray(text, str).dtype.kind == "U"
    with pytest.raises(IndexError):
        text[4]
    write_table(tmp_path / "u", {"text": text})
    assert (tmp_path / "u").read_bytes() == (tmp_path / "t").read_bytes()


def test_equal_rows_give_equal_bytes(tmp_path) -> None:
    for name in "ab":
        write_index(tmp_path / name, example(9))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_cut_off_file_is_said_to_be_no_table(tmp_path) -> None:
    file = tmp_path / "index.parquet"
    write_index(file, example(9))
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(InputError, match="index.parquet: not a Parquet table.*Remedy"):
        read_index(file)


def test_missing_column_is_named(tmp_path) -> None:
    write_table(tmp_path / "t", {"path": np.array(["a"])})
    with pytest.raises(InputError, match="no column offset, length"):
        read_index(tmp_path / "t")


def test_tables_keep_booleans_and_floats(tmp_path) -> None:
    columns = {"same": np.array([True, False]), "score": np.array([0.5, 1], np.float32)}
    write_table(tmp_path / "t", columns)
    back = read_table(tmp_path / "t")
    assert back["same"].dtype == bool
    np.testing.assert_array_equal(back["score"], columns["score"])


def test_some_columns_are_read_without_the_others(tmp_path, monkeypatch) -> None:
    file = tmp_path / "index.parquet"
    write_index(file, example(17))
    assert read_table(file, ["source", "label"]).keys() == {"source", "label"}
    np.testing.assert_array_equal(read_table(file, ["label"])["label"], example(17).label)
    monkeypatch.setattr("stages.core.index.PIECE", 5)
    pieces = list(read_pieces(file, "sha1"))
    assert [len(piece) for piece in pieces] == [5, 5, 5, 2]
    assert [text for piece in pieces for text in piece] == example(17).sha1.tolist()
    assert [n for piece in read_pieces(file, "record") for n in piece] == [*range(16, -1, -1)]


def test_a_column_that_is_not_there_is_named(tmp_path) -> None:
    write_index(tmp_path / "t", example(2))
    for read in (
        lambda: read_table(tmp_path / "t", ["sha"]),
        lambda: [*read_pieces(tmp_path / "t", "sha")],
    ):
        with pytest.raises(InputError, match="no column sha"):
            read()
    with pytest.raises(InputError, match="file not found"):
        list(read_pieces(tmp_path / "missing", "sha1"))
