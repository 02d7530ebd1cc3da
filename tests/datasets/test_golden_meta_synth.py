"""IJB's lists in the real format, against splitting their lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stages.datasets.ijb import Params, read
from tests.goldens import golden


def columns(file: Path) -> list[tuple[str, ...]]:
    return list(zip(*(line.split(" ") for line in file.read_text().splitlines()), strict=True))


@golden("ijb/meta_synth*/*/meta/*")
def test_meta(file: Path) -> None:
    root = file.parent.parent
    source = read(root, Params())
    (landmarks,), (members,), (labels,) = (
        list(file.parent.glob(f"*_{kind}.txt"))
        for kind in ("name_5pts_score", "face_tid_mid", "template_pair_label")
    )
    names, *points, score = columns(landmarks)
    assert len(source.records) == len(names)
    row_of = {name: row for row, name in enumerate(names)}
    images, template, media = columns(members)
    found, record = source.tables["templates"], [row_of[name] for name in images]
    np.testing.assert_array_equal(found["record"], record)
    np.testing.assert_array_equal(found["template"], np.array(template, int))
    np.testing.assert_array_equal(found["media"], np.array(media, int))
    np.testing.assert_array_equal(found["score"], np.array(score, np.float32)[record])
    first, second, same = (np.array(column, int) for column in columns(labels))
    for name, expected in (("first", first), ("second", second), ("same", same == 1)):
        np.testing.assert_array_equal(source.tables["template_pairs"][name], expected)
    assert len(points) == 10
