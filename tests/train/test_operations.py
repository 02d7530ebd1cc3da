"""Hashes of a training step's operations, and how two files of them are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from stages.core.errors import InputError
from stages.train import operations
from stages.train.operations import Hashes, compared, digest, read, write

LINES = [
    "0 aten.mm.default aaaaaaaaaaaa bbbbbbbbbbbb 1.5",
    "1 aten.relu.default bbbbbbbbbbbb cccccccccccc 1.25",
    "2 aten.sum.default cccccccccccc dddddddddddd 1.25",
]


def file_of(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in [*lines, "# processor: made up"]))
    return path


def test_a_step_has_the_same_hashes_again_and_leaves_no_model(
    params: dict[str, Any], tmp_path: Path
) -> None:
    Path("params.yaml").write_text(yaml.safe_dump(params))
    files = [tmp_path / name for name in ("one.txt", "two.txt", "other.txt")]
    counts = [write(file, 1, {"seed": seed}) for file, seed in zip(files, (0, 0, 1), strict=True)]
    assert counts[0] == counts[1] > 100
    assert compared(*files[:2]).endswith(f"all {counts[0]} operations are equal")
    assert "operation 0 is the first that differs" in compared(files[0], files[2])
    names = [row[1] for row in read(files[0])[1]]
    assert any("convolution_backward" in name for name in names)
    assert not Path("models").exists()
    assert not Path("metrics").exists()


def test_more_steps_are_more_operations(params: dict[str, Any], tmp_path: Path) -> None:
    Path("params.yaml").write_text(yaml.safe_dump(params))
    one, two = (write(tmp_path / f"{steps}.txt", steps, {}) for steps in (1, 2))
    assert one < two < 2 * one  # the network is built once
    text = compared(tmp_path / "1.txt", tmp_path / "2.txt")
    assert text.endswith(f"the first {one} operations are equal; one file ends there")


def test_every_operation_is_written_with_what_it_changes_in_place(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as lines, Hashes(lines):
        x = torch.ones(3)
        torch._foreach_add_([x], 1.0)
        y = x * 2
        torch.empty(3)
    rows = [line.split() for line in (tmp_path / "file").read_text().splitlines()]
    assert [row[1] for row in rows] == [
        "aten.ones.default",
        "aten._foreach_add_.Scalar",
        "aten.mul.Tensor",
    ]
    assert rows[1][3] == digest([torch.full((3,), 2.0)]) == rows[2][2]
    assert rows[2][3:] == [digest([y]), "12"]


def test_a_hash_knows_values_types_and_shapes_but_no_layout() -> None:
    x = torch.arange(24.0).reshape(1, 2, 3, 4)
    assert digest([x]) == digest([x.contiguous(memory_format=torch.channels_last)])
    others = [x + 1e-6, x.double(), x.reshape(2, 3, 4), x.bfloat16(), -x]
    assert len({digest([value]) for value in [x, *others]}) == 6
    assert digest([torch.tensor(0.0)]) != digest([torch.tensor(-0.0)])
    assert digest([x, x]) != digest([x])


def test_the_first_difference_is_named_and_told_from_what_follows_it(tmp_path: Path) -> None:
    there = [
        LINES[0],
        "1 aten.relu.default bbbbbbbbbbbb eeeeeeeeeeee 1.2500001",
        "2 aten.sum.default eeeeeeeeeeee ffffffffffff 1.2500001",
    ]
    text = compared(file_of(tmp_path / "a", LINES), file_of(tmp_path / "b", there))
    assert "the first 1 operations are equal" in text
    assert "operation 1 is the first that differs. aten.relu.default: equal inputs" in text
    assert "1.25 and 1.2500001" in text
    assert "2 of 3 differ in all, 1 of them with equal inputs" in text
    assert text.endswith("operations that differ with equal inputs: aten.relu.default")


def test_tensors_without_values_have_a_shape(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as lines, Hashes(lines):
        torch.ones(3, device="meta") + 1
    assert digest([torch.empty(3, device="meta")]) != digest([torch.empty(4, device="meta")])
    assert len((tmp_path / "file").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1 aten.relu.default 999999999999 cccccccccccc 1", "its inputs differ"),
        ("1 aten.prelu.default bbbbbbbbbbbb cccccccccccc 1", "the two run different code"),
    ],
)
def test_what_differs_beside_outputs_is_said(tmp_path: Path, line: str, said: str) -> None:
    there = [LINES[0], line, LINES[2]]
    assert said in compared(file_of(tmp_path / "a", LINES), file_of(tmp_path / "b", there))


@pytest.mark.parametrize("content", ["", "# processor: x\n", "0 aten.mm.default a b\n", "hello\n"])
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "a").write_text(content)
    with pytest.raises(InputError, match="operations write FILE"):
        read(tmp_path / "a")


def test_the_number_of_files_is_checked() -> None:
    with pytest.raises(InputError, match="give two to compare"):
        operations.main("compare", ["a"], 1)
    with pytest.raises(InputError, match="give one to write"):
        operations.main("write", ["a", "b"], 1)
    with pytest.raises(InputError, match="write or compare"):
        operations.main("draw", ["a"], 1)
