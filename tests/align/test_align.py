"""The stage on small image sets: which crop each image gets, and which images get none."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image

import stages.align.landmarks as landmarks_of
from stages.align.__main__ import main
from stages.core.detector import Detector
from stages.core.errors import InputError
from stages.core.geometry import TEMPLATE, similarity, warp
from stages.datasets._store import ImageSetWriter, ImageStore
from stages.fetch.photographs import photographs

ROOT = Path(__file__).resolve().parents[2]
RNG = np.random.default_rng(11)
NAMES = ("record", "source", "reason")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ways = ", ".join(
        f"{way}: {{format: list, root: data, align: {way}}}"
        for way in ("none", "landmarks", "detect")
    )
    Path("params.yaml").write_text(f"align: {{}}\ndatasets: {{{ways}}}\n")


def jpeg(image: np.ndarray) -> bytes:
    return simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=95)


def noise(height: int, width: int) -> np.ndarray:
    return cv2.resize(RNG.integers(0, 256, (9, 8, 3), np.uint8), (width, height))


def unpack(name: str, payloads: list[bytes], landmarks: list | None = None) -> ImageStore:
    """What the stage unpack would leave: image k is `picture k` of class 10 + k."""
    folder = Path("data/unpack") / name
    folder.mkdir(parents=True)
    with ImageSetWriter(folder, len(payloads), Path("data")) as writer:
        for number, payload in enumerate(payloads):
            points = None if landmarks is None else landmarks[number]
            writer.add(payload, f"picture {number}", 10 + number, points)
    return ImageStore(folder)


def aligned(name: str) -> ImageStore:
    main(name)
    return ImageStore(Path("data/align") / name)


def left_out(name: str) -> list[tuple[str, ...]]:
    with open(Path("data/align") / name / "left_out.csv", newline="") as file:
        first, *rows = (tuple(row) for row in csv.reader(file))
    assert first == NAMES
    return rows


def counts(name: str) -> dict[str, int]:
    content = json.loads((Path("metrics/align") / f"{name}.json").read_text())
    assert list(content) == ["align"]
    assert list(content["align"]) == [name]
    return content["align"][name]


def posed(shift: float = 0.0) -> np.ndarray:
    """Landmarks of a face turned by 10 degrees, 0.9 of the crop's size."""
    points = 0.9 * np.exp(1j * np.radians(10)) * (TEMPLATE @ [1, 1j]) + 20 + shift + 5j
    return np.stack([points.real, points.imag], axis=1).astype(np.float32)


def test_none_copies_bytes_of_any_size() -> None:
    pictures = [jpeg(noise(7, 6)), jpeg(noise(60, 49)), jpeg(noise(300, 200))]
    found = unpack("none", pictures, [posed().ravel(), None, None])
    store = aligned("none")
    assert [bytes(store.encoded(row)) for row in range(3)] == pictures
    assert store.index.width.tolist() == [6, 49, 200]
    assert store.index.height.tolist() == [7, 60, 300]
    assert store.index.sha1.tolist() == found.index.sha1.tolist()
    assert store.index.label.tolist() == [10, 11, 12]
    assert store.index.record.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(store.index.landmarks, found.index.landmarks)
    assert left_out("none") == []
    assert counts("none")["left_out"] == 0


def test_landmarks_of_the_index_give_crops() -> None:
    pictures = [noise(150, 160) for _ in range(3)]
    faces = [posed(10.0 * number) for number in range(3)]
    found = unpack("landmarks", [jpeg(p) for p in pictures], [face.ravel() for face in faces])
    store = aligned("landmarks")
    for row, face in enumerate(faces):
        expected = warp(found.image(row), similarity(face))
        np.testing.assert_array_equal(store.image(row), expected)
    assert set(store.index.width.tolist()) == set(store.index.height.tolist()) == {112}
    np.testing.assert_array_equal(store.index.landmarks.reshape(-1, 5, 2), faces)
    assert bytes(store.encoded(0)).startswith(b"\x89PNG")


def test_images_without_usable_landmarks_are_left_out_and_listed() -> None:
    nothing, point = np.full(10, np.nan), np.full(10, 30.0)
    landmarks = [posed().ravel(), nothing, posed(5).ravel(), point, nothing, posed(9).ravel()]
    found = unpack("landmarks", [jpeg(noise(150, 160)) for _ in landmarks], landmarks)
    store = aligned("landmarks")
    assert store.index.record.tolist() == [0, 2, 5]
    assert store.index.label.tolist() == [10, 12, 15]
    assert store.index.source.tolist() == ["picture 0", "picture 2", "picture 5"]
    for row, record in enumerate(store.index.record):
        points = found.index.landmarks[record].reshape(5, 2)
        expected = warp(found.image(record), similarity(points))
        np.testing.assert_array_equal(store.image(row), expected)
    assert left_out("landmarks") == [
        ("1", "picture 1", "no_landmarks"),
        ("3", "picture 3", "landmarks_coincide"),
        ("4", "picture 4", "no_landmarks"),
    ]
    assert counts("landmarks") == {
        "images": 6,
        "left_out": 3,
        "no_face": 0,
        "no_landmarks": 2,
        "landmarks_coincide": 1,
        "landmark_missing": 0,
        "landmarks_outside": 0,
        "residual_p05": 0.0,
        "residual_median": 0.0,
        "residual_p95": 0.0,
        "residual_max": 0.0,
        "rotation_median": 10.0,
        "rotation_p95": 10.0,
    }


def test_crops_by_blocks_are_those_of_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = [posed(number).ravel() for number in range(7)]
    faces[4][:] = np.nan
    unpack("landmarks", [jpeg(noise(150, 160)) for _ in faces], faces)
    store = aligned("landmarks")
    once = [bytes(store.encoded(row)) for row in range(len(store))]
    monkeypatch.setattr("stages.align.crops.BLOCK", 3)
    store = aligned("landmarks")
    assert [bytes(store.encoded(row)) for row in range(len(store))] == once


def test_detector_finds_eyes_and_mouth_of_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faces, a blank picture, and a face again, which is not looked at twice. The crops' own
    landmarks are those of the template."""
    people = photographs()
    faces = [cv2.cvtColor(people[person][0], cv2.COLOR_GRAY2RGB) for person in (3, 21, 34)]
    blank = np.full((112, 92, 3), 127, np.uint8)
    looked = []
    largest = Detector.largest

    def counted(self: Detector, image: np.ndarray):
        looked.append(image)
        return largest(self, image)

    monkeypatch.setattr(Detector, "largest", counted)
    unpack("detect", [jpeg(p) for p in (faces[2], blank, faces[0], faces[1], faces[2])])
    store = aligned("detect")
    assert len(looked) == 4
    assert store.index.record.tolist() == [0, 2, 3, 4]
    assert bytes(store.encoded(0)) == bytes(store.encoded(3))
    assert left_out("detect") == [("1", "picture 1", "no_face")]
    assert counts("detect")["no_face"] == 1
    for row in range(3):
        again = Detector().largest(store.image(row)).landmarks
        assert np.abs((again - TEMPLATE).mean(0)).max() < 2
        assert np.abs(again - TEMPLATE).max() < 9  # faces differ from the template


def test_a_photograph_that_lies_is_looked_at_upright() -> None:
    """The crop is that of the upright one, and the landmarks those of the stored one."""
    face = cv2.cvtColor(photographs()[3][0], cv2.COLOR_GRAY2RGB)
    stored = [np.rot90(face, turns) for turns in (0, 1, 2, 3)]
    marks = [1, 6, 3, 8]  # Exif: what was turned to the left is to be turned to the right
    pictures = []
    for image, mark in zip(stored, marks, strict=True):
        exif = Image.Exif()
        exif[0x0112] = mark
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", exif=exif, quality=100, subsampling=0)
        pictures.append(buffer.getvalue())
    found = unpack("detect", pictures)
    store = aligned("detect")
    assert store.index.record.tolist() == [0, 1, 2, 3]
    for row in range(4):
        difference = store.image(row).astype(int) - store.image(0)
        assert np.abs(difference).mean() < 1
        points = store.index.landmarks[row].reshape(5, 2)
        expected = warp(found.image(row), similarity(points))
        np.testing.assert_array_equal(store.image(row), expected)


def test_detector_settings_come_from_params(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("params.yaml").write_text(
        "align: {short_side: 100, border: 0.3, smallest_face: 0.5}\n"
        "datasets: {detect: {format: list, root: data, align: detect}}\n"
    )
    given = []

    class Blind:
        def __init__(self, *settings: float) -> None:
            given.append(settings)

        def largest(self, image: np.ndarray) -> None:
            return None

    monkeypatch.setattr(landmarks_of, "Detector", Blind)
    unpack("detect", [jpeg(noise(50, 50))])
    with pytest.raises(InputError, match=r"no image could be aligned.*datasets\.detect\.align"):
        main("detect")
    assert given == [(100, 0.3, 0.5)]
    assert not Path("data/align/detect").exists()
    assert not Path("metrics").exists()


def test_two_runs_give_equal_bytes() -> None:
    unpack("landmarks", [jpeg(noise(150, 160)) for _ in range(4)], [posed().ravel()] * 4)

    def digests() -> dict[str, str]:
        main("landmarks")
        files = [f for top in ("data/align", "metrics") for f in Path(top).rglob("*.*")]
        return {str(f): hashlib.sha1(f.read_bytes()).hexdigest() for f in files if f.is_file()}

    once = digests()
    assert digests() == once
    assert len(once) == 4 + 3


def test_damaged_image_is_named() -> None:
    """The header is whole, so that unpack took it; the pixels are not."""
    whole = cv2.imencode(".png", noise(150, 160))[1].tobytes()
    broken = whole[:100] + bytes(100) + whole[200:]
    unpack("landmarks", [whole, broken], [posed().ravel()] * 2)
    with pytest.raises(InputError, match=r"picture 1.*cannot be decoded.*replace or remove"):
        main("landmarks")
    assert not Path("data/align/landmarks").exists()


def test_what_is_missing_is_named() -> None:
    with pytest.raises(InputError, match=r"data/unpack/none/index\.parquet.*file not found"):
        main("none")
    with pytest.raises(InputError, match=r"datasets\.absent"):
        main("absent")
    Path("params.yaml").write_text(
        "align: {}\ndatasets: {odd: {format: list, root: x, align: sideways}}\n"
    )
    with pytest.raises(InputError, match=r"datasets\.odd\.align.*'detect', 'landmarks' or 'none'"):
        main("odd")


def test_edge_pixels_are_drawn_out_where_the_entry_says_so() -> None:
    """A plain photograph cut tight: black corners as published, none with `outside: edge`."""
    params = Path("params.yaml")
    payload = [cv2.imencode(".png", np.full((80, 80, 3), 200, np.uint8))[1].tobytes()]
    store = unpack("landmarks", payload, [posed().ravel()])
    black = aligned("landmarks").image(0)
    params.write_text(
        params.read_text().replace("align: landmarks", "align: landmarks, outside: edge")
    )
    edge = aligned("landmarks").image(0)
    assert len(store) == 1
    assert black.min() == 0
    assert edge.min() == 200
    inside = black == 200
    np.testing.assert_array_equal(black[inside], edge[inside])


def test_starts_without_torch() -> None:
    code = (
        "import sys, stages.align.__main__, stages.fetch.__main__\n"
        "print([m for m in ('torch', 'scipy', 'pandas', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
