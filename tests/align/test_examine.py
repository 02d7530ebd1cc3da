"""The stage on sets whose geometry is odd: what it says, records and refuses."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.align.__main__ import main
from stages.core.errors import InputError
from stages.core.geometry import TEMPLATE
from stages.datasets._store import ImageSetWriter
from tests.align.heads import ORDERS, frontal, landmarks, written

SIDE = 300  # of the images that heads.py places landmarks in


def picture(width: int = SIDE, height: int = SIDE, exif: int | None = None) -> bytes:
    buffer = io.BytesIO()
    entries = Image.Exif()
    if exif:
        entries[0x0112] = exif
    Image.new("RGB", (width, height), (90, 120, 150)).save(buffer, "JPEG", exif=entries)
    return buffer.getvalue()


def align(payloads: list[bytes], points: np.ndarray | None, way: str = "landmarks") -> dict:
    """Run the stage on a set `mine`; what it records."""
    Path("params.yaml").write_text(
        f"align: {{}}\ndatasets: {{mine: {{format: ijb, root: data/raw/mine, align: {way}}}}}\n"
    )
    folder = Path("data/unpack/mine")
    folder.mkdir(parents=True)
    with ImageSetWriter(folder, len(payloads), Path("data")) as writer:
        for row, payload in enumerate(payloads):
            writer.add(payload, f"picture {row}", row, None if points is None else points[row])
    main("mine")
    return json.loads(Path("metrics/align/mine.json").read_text())["align"]["mine"]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What the stage said of the set, without its progress."""
    return [line for line in capsys.readouterr().err.split("\n") if line.startswith("datasets.")]


@pytest.mark.parametrize("way", [way for way in ORDERS if way != "upside_down"])
def test_a_wrong_order_is_refused_before_anything_is_written(way: str) -> None:
    points = written(frontal(20, np.random.default_rng(1)), way)
    with pytest.raises(InputError, match=r"data/raw/mine: the landmarks are in another order.*"):
        align([picture()] * 20, points)
    assert not Path("data/align").exists()
    assert not Path("metrics").exists()


@pytest.mark.parametrize("way", ORDERS)
def test_of_a_small_set_it_is_said(way: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = align([picture()] * 5, written(frontal(5, np.random.default_rng(2)), way))
    (line,) = said(capsys)
    assert line.startswith("datasets.mine: the ")
    assert "x1 y1 .. x5 y5 of left eye, right eye, nose" in line
    assert found["images"] == 5


def test_right_landmarks_are_measured_in_silence(capsys: pytest.CaptureFixture[str]) -> None:
    found = align([picture()] * 30, frontal(30, np.random.default_rng(3)))
    assert said(capsys) == []
    assert 0.05 < found["residual_p05"] < found["residual_median"] < found["residual_p95"]
    assert found["residual_median"] < 0.2
    assert found["rotation_median"] < found["rotation_p95"] < 45
    assert found["left_out"] == 0


def test_profiles_are_aligned_and_mentioned(capsys: pytest.CaptureFixture[str]) -> None:
    found = align([picture()] * 20, landmarks(np.full(20, 90.0), np.random.default_rng(4)))
    (line,) = said(capsys)
    assert "seen from the side" in line
    assert found["left_out"] == 0


def test_shares_of_width_and_height_are_refused() -> None:
    points = frontal(20, np.random.default_rng(5)) / SIDE
    with pytest.raises(InputError, match=r"100% of the images lie within 1\.5 pixels.*in pixels"):
        align([picture()] * 20, points)


@pytest.mark.parametrize("factor", [2.5, 10])
def test_landmarks_of_larger_images_are_refused(factor: float) -> None:
    points = frontal(20, np.random.default_rng(6)) * factor
    with pytest.raises(InputError, match="faces lie outside their images.*pixels of these very"):
        align([picture()] * 20, points)


def test_x_and_y_exchanged_in_wide_images_is_not_taken_for_a_wrong_size() -> None:
    points = frontal(20, np.random.default_rng(7)).reshape(-1, 5, 2) + np.array([600, 0])
    backwards = written(points.reshape(-1, 10), "backwards")
    with pytest.raises(InputError, match="y1 x1 .. y5 x5 of left eye, right eye, nose"):
        align([picture(1000)] * 20, backwards)


def test_landmarks_that_leave_the_images_are_mentioned(
    capsys: pytest.CaptureFixture[str],
) -> None:
    points = frontal(20, np.random.default_rng(8)).reshape(-1, 5, 2)
    points[:8] += [250, 150] - points[:8].mean(1, keepdims=True)
    points[:8, 1, 0] = 1.2 * SIDE
    align([picture()] * 20, points.reshape(-1, 10))
    assert any("40% of the images have landmarks far outside" in line for line in said(capsys))


def test_landmarks_of_crops_are_mentioned(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(9)
    points = (TEMPLATE + rng.normal(0, 2, (20, 5, 2))).reshape(-1, 10)
    align([picture(250, 250)] * 20, points)
    (line,) = said(capsys)
    assert "are those of 112x112 crops, and the images are larger (250x250)" in line


def test_landmarks_of_crops_in_crops_are_right(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(10)
    points = (TEMPLATE + rng.normal(0, 2, (20, 5, 2))).reshape(-1, 10)
    align([picture(112, 112)] * 20, points)
    assert said(capsys) == []


def test_one_set_of_landmarks_for_all_is_mentioned(capsys: pytest.CaptureFixture[str]) -> None:
    align([picture()] * 20, np.repeat(frontal(1, np.random.default_rng(11)), 20, axis=0))
    (line,) = said(capsys)
    assert "all 20 images have the same landmarks" in line


def lying(points: np.ndarray) -> np.ndarray:
    """Points of an upright picture in the pixels as a camera stored them, a quarter turned to the
    left: (x, y) -> (y, side - 1 - x)."""
    x, y = points.reshape(-1, 5, 2)[..., 0], points.reshape(-1, 5, 2)[..., 1]
    return np.stack([y, SIDE - 1 - x], axis=2).reshape(-1, 10)


def test_photographs_that_lie_are_not_a_wrong_order(capsys: pytest.CaptureFixture[str]) -> None:
    """EXIF entry 6: to be turned a quarter to the right. Landmarks of the stored pixels."""
    points = lying(frontal(20, np.random.default_rng(12)))
    found = align([picture(exif=6)] * 20, points)
    assert said(capsys) == []
    assert found["rotation_median"] > 60


def test_faces_that_lie_without_an_entry_are_mentioned(
    capsys: pytest.CaptureFixture[str],
) -> None:
    align([picture()] * 20, lying(frontal(20, np.random.default_rng(13))))
    (line,) = said(capsys)
    assert "the faces lie on their sides" in line


def test_landmarks_of_the_upright_picture_are_mentioned(
    capsys: pytest.CaptureFixture[str],
) -> None:
    points = frontal(20, np.random.default_rng(14))
    align([picture(exif=6)] * 6 + [picture()] * 14, points)
    (line,) = said(capsys)
    assert "6 of 6 photographs that their EXIF entries turn (of 20 looked at)" in line
    assert "pixels as they are stored" in line


def test_points_that_were_not_found_leave_an_image_out() -> None:
    points = frontal(20, np.random.default_rng(15))
    points[0], points[1] = -1, 0
    points[2, 4:6] = -1
    points[3] += 500
    found = align([picture()] * 20, points)
    assert found["left_out"] == 4
    assert found["landmarks_coincide"] == 2
    assert found["landmark_missing"] == 1
    assert found["landmarks_outside"] == 1
    assert found["residual_max"] < 0.5


def test_sizes_are_counted_and_what_is_done_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = [(112, 112)] * 3 + [(160, 160)] * 2 + [(60, 49), (6, 7)]
    found = align([picture(*size) for size in sizes], None, "none")
    (line,) = said(capsys)
    assert "4 of 7 images are not 112x112 (6x7 to 160x160) and are resized" in line
    assert "2 are not square, and are stretched" in line
    assert "`align: detect`" in line
    assert (found["other_size"], found["not_square"]) == (4, 2)
    assert "residual_median" not in found


def test_crops_of_112_are_taken_in_silence(capsys: pytest.CaptureFixture[str]) -> None:
    found = align([picture(112, 112)] * 3, None, "none")
    assert said(capsys) == []
    assert (found["other_size"], found["not_square"]) == (0, 0)


def test_larger_squares_are_not_called_stretched(capsys: pytest.CaptureFixture[str]) -> None:
    found = align([picture(160, 160)] * 3, None, "none")
    (line,) = said(capsys)
    assert "3 of 3 images are not 112x112 (160x160) and are resized" in line
    assert "stretched" not in line
    assert (found["other_size"], found["not_square"]) == (3, 0)


def test_crops_of_96_columns_are_to_be_padded(capsys: pytest.CaptureFixture[str]) -> None:
    align([picture(96, 112)] * 3, None, "none")
    (line,) = said(capsys)
    assert "3 of 3 images are not 112x112 (96x112)" in line
    assert "3 are not square" in line
    assert "8 columns on the left and on the right" in line


def test_landmarks_that_are_not_used_are_pointed_out(capsys: pytest.CaptureFixture[str]) -> None:
    align([picture()] * 3, frontal(3, np.random.default_rng(16)), "none")
    (line,) = said(capsys)
    assert "set `align: landmarks`" in line
