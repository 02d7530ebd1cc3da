"""TinyFace: its MATLAB lists, its folders, and aligned copies elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from stages.core.errors import InputError
from stages.datasets.tinyface import Params, read
from tests.datasets.samples import jpeg, write

LISTS = {"gallery_match": ("gallery", ["2_a.jpg", "1_b.jpg"], [2, 1]),
         "probe": ("probe", ["1_c.jpg"], [1])}  # fmt: skip
IMAGES = ["Gallery_Match/2_a.jpg", "Gallery_Match/1_b.jpg", "Probe/1_c.jpg",
          "Gallery_Distractor/x.jpg", "Gallery_Distractor/y.jpg"]  # fmt: skip


def release(root: Path, images: str = "Testing_Set") -> Path:
    (root / "Testing_Set").mkdir(parents=True, exist_ok=True)
    for file, (role, names, ids) in LISTS.items():
        cells = np.empty((len(names), 1), object)
        cells[:, 0] = names
        column = np.array(ids, np.uint16)[:, None]
        path = root / "Testing_Set" / f"{file}_img_ID_pairs.mat"
        savemat(path, {f"{role}_set": cells, f"{role}_ids": column})
    for n, name in enumerate(IMAGES):
        write(root / images / name, jpeg(n))
    return root


@pytest.mark.parametrize("images", ["Testing_Set", "aligned_pad_0.1_pad_high"])
def test_gallery_probes_and_distractors(tmp_path: Path, images: str) -> None:
    source = read(release(tmp_path, images), Params(images=images))
    records = list(source.records)
    assert [record.name for record in records] == IMAGES
    assert [record.payload for record in records] == [jpeg(n) for n in range(5)]
    table = source.tables["lowres"]
    assert table["role"].tolist() == ["gallery", "gallery", "probe", "distractor", "distractor"]
    assert table["subject"].tolist() == [2, 1, 1, -1, -1]
    assert table["record"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("lost", ["gallery_match_img_ID_pairs.mat", "Gallery_Distractor"])
def test_what_is_missing_says_where_it_comes_from(tmp_path: Path, lost: str) -> None:
    path = release(tmp_path) / "Testing_Set" / lost
    path.rename(tmp_path / "away")
    with pytest.raises(InputError) as caught:
        read(tmp_path, Params())
    assert caught.value.file == str(path)
    assert "qmul-tinyface.github.io" in caught.value.remedy


def test_a_name_that_leads_elsewhere(tmp_path: Path) -> None:
    release(tmp_path)
    path = tmp_path / "Testing_Set/probe_img_ID_pairs.mat"
    cells = np.empty((1, 1), object)
    cells[0, 0] = "../../x.jpg"
    savemat(path, {"probe_set": cells, "probe_ids": np.array([[1]], np.uint16)})
    with pytest.raises(InputError, match="leads out of"):
        read(tmp_path, Params())
