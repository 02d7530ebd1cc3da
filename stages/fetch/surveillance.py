"""People as a QMUL-SurvFace-style open set: small faces of native size, gallery and probes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from stages.fetch.params import Params

ROOT = "Face_Identification_Test_Set"
ENROLLED = 12  # people with a gallery entry; the others are unmated probes
MAT_DATE = b"MATLAB 5.0 MAT-file, lists of a surveillance set"  # scipy writes the time of day here
MAT_TEXT = 116  # bytes of a .mat header's text


def write_surveillance(folder: Path, people: dict[int, list[np.ndarray]], settings: Params) -> None:
    """Half of the photographs of the first people are the gallery, the rest of them mated probes.

    Photographs are shrunk by area to a drawn shorter side and kept as PNG: on a face of six pixels
    JPEG would say more about its blocks than about the face.
    """
    root = folder / ROOT
    for role in ("gallery", "mated_probe", "unmated_probe"):
        (root / role).mkdir(parents=True)
    rng = np.random.default_rng([settings.seed, 3])
    listed: dict[str, list[tuple[str, int]]] = {"gallery": [], "mated_probe": []}
    for place, (person, photographs) in enumerate(people.items()):
        order = rng.permutation(len(photographs))
        for number, at in enumerate(order, 1):
            role = "unmated_probe"
            if place < ENROLLED:
                role = "gallery" if number <= len(order) // 2 else "mated_probe"
            name = f"{person}_{number}.png"
            small = _shrunk(photographs[at], rng, settings)
            done, encoded = cv2.imencode(".png", cv2.cvtColor(small, cv2.COLOR_GRAY2BGR))
            if not done:
                raise RuntimeError("OpenCV could not encode a photograph")
            (root / role / name).write_bytes(encoded.tobytes())
            if role in listed:
                listed[role].append((name, person))
    for role, rows in listed.items():
        _write_mat(root / f"{role}_img_ID_pairs.mat", role, rows)


def _shrunk(image: np.ndarray, rng: np.random.Generator, settings: Params) -> np.ndarray:
    """Aspect kept, sides from smallest to largest, the logarithm of the shorter drawn evenly."""
    height, width = image.shape
    aspect = max(height, width) / min(height, width)
    low, high = settings.smallest, max(settings.smallest, int(settings.largest / aspect))
    short = min(high, int(np.exp(rng.uniform(np.log(low), np.log(high + 1)))))
    longest = min(settings.largest, round(short * aspect))
    size = (short, longest) if width < height else (longest, short)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _write_mat(path: Path, role: str, rows: list[tuple[str, int]]) -> None:
    from scipy.io import savemat

    names = np.empty((len(rows), 1), dtype=object)
    names[:, 0] = [name for name, _ in rows]
    ids = np.array([[person] for _, person in rows], np.float64)
    savemat(path, {f"{role}_set": names, f"{role}_ids": ids})
    with open(path, "r+b") as file:
        file.write(MAT_DATE.ljust(MAT_TEXT))
