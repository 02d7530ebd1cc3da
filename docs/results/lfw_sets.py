"""Writes the test sets of docs/btnet.md and docs/heads.md from the held-out people of a folder.

    python -m docs.results.lfw_sets

reads data/raw/lfw (a folder per person, 112x112 crops in it) and writes, from seed 0,
data/raw/lfw_pairs.bin, a verification pack in ten folds that share no person, with as many impostor
as genuine pairs; and two template sets in IJB's layout: data/raw/lfw_video and data/raw/lfw_stills.

Both template sets have the same images. A person's first photographs are a gallery template, the
others make probe templates: two or three photographs, of which the first comes with FRAMES
near-duplicates, as frames of a video do. In lfw_video the lists say that these are one medium; in
lfw_stills every image is a medium of its own.
"""

from __future__ import annotations

import pickle
from itertools import combinations, product
from pathlib import Path

import cv2
import numpy as np

from stages.core.files import atomic_file, atomic_folder
from stages.datasets.folder import Params, read

ROOT, OUT = Path("data/raw/lfw"), Path("data/raw")
HELD_OUT = 0.2  # of the people, as in recipes/_data.yaml
SEED, FOLDS = 0, 10
MOST_PAIRS = MOST_PHOTOGRAPHS = 20  # of one person in the pack: genuine pairs, and photographs
PICKLE = 4  # protocol, named so that the bytes do not depend on the version of Python
GALLERY, PROBE, MOST_PROBES = 3, 3, 5  # photographs of a template at most; probes of a person
FEWEST = 3  # photographs of a person with templates
FRAMES = 10  # near-duplicates in a probe template
SHIFT, ZOOM, LIGHT, BLUR = 3.0, 0.04, 12.0, 1.2  # of a frame at most: pixels, share, levels, sigma
QUALITY = (40, 90)  # of a frame's JPEG
POINTS = "38.29 51.70 73.53 51.50 56.03 71.74 41.55 92.37 70.73 92.20"  # of a 112x112 crop

People = dict[int, list[bytes]]


def people() -> People:
    """Encoded photographs of the held-out people that have at least two."""
    found: People = {}
    for record in read(ROOT, Params(part="test", held_out=HELD_OUT)).records:
        found.setdefault(record.label, []).append(record.payload)
    return found


def write_pack(path: Path, found: People, random: np.random.Generator) -> None:
    """A pickle of (images, same): images 2k and 2k + 1 are pair k."""
    folds = np.array_split(random.permutation(list(found)), FOLDS)
    genuine = [
        [
            pair
            for person in fold
            for pair in _some(list(combinations(found[person], 2)), MOST_PAIRS, random)
        ]
        for fold in folds
    ]
    least = min(map(len, genuine))  # in every fold: readers cut the pack into ten equal parts
    images: list[bytes] = []
    same: list[bool] = []
    for fold, own in zip(folds, genuine, strict=True):
        others = [
            pair
            for one, other in combinations(fold, 2)
            for pair in product(found[one], found[other])
        ]
        for first, second in _some(own, least, random) + _some(others, least, random):
            images += [first, second]
        same += [True] * least + [False] * least
    with atomic_file(path) as scratch:
        scratch.write_bytes(pickle.dumps((images, same), protocol=PICKLE))


def _some(pairs: list, most: int, random: np.random.Generator) -> list:
    return [pairs[k] for k in sorted(random.permutation(len(pairs))[:most])]


def write_templates(folder: Path, found: People, marked: bool) -> None:
    """The images and lists of one template set; `marked`: frames of a video are one medium."""
    random = np.random.default_rng([SEED, 1])
    names, members, gallery, probes = [], [], [], []
    with atomic_folder(folder) as scratch:
        (scratch / "meta").mkdir()
        (scratch / "loose_crop").mkdir()

        def add(template: int, media: int, image: bytes) -> None:
            names.append(f"{len(names) + 1}.jpg")
            (scratch / "loose_crop" / names[-1]).write_bytes(image)
            members.append((names[-1], template, media if marked else len(names)))

        template = media = 0
        for person, photographs in found.items():
            if len(photographs) < FEWEST:
                continue
            drawn = [photographs[k] for k in random.permutation(len(photographs))]
            enrolled = min(GALLERY, len(drawn) - 2)
            rest = [drawn[k : k + PROBE] for k in range(enrolled, len(drawn), PROBE)]
            shown = [part for part in rest[:MOST_PROBES] if len(part) > 1]
            for listed, part in [(gallery, drawn[:enrolled]), *((probes, part) for part in shown)]:
                template += 1
                listed.append((template, person))
                for k, photograph in enumerate(part):
                    media += 1
                    add(template, media, photograph)
                    for _ in range(FRAMES if listed is probes and k == 0 else 0):
                        add(template, media, frame(photograph, random))
        _write_lists(scratch / "meta", names, members, gallery, probes)


def frame(photograph: bytes, random: np.random.Generator) -> bytes:
    """A near-duplicate: moved, zoomed, lit, blurred and encoded a little differently."""
    image = cv2.imdecode(np.frombuffer(photograph, np.uint8), cv2.IMREAD_COLOR)
    side = image.shape[0]
    warp = cv2.getRotationMatrix2D((side / 2, side / 2), 0, 1 + random.uniform(-ZOOM, ZOOM))
    warp[:, 2] += random.uniform(-SHIFT, SHIFT, 2)
    image = cv2.warpAffine(image, warp, (side, side), borderMode=cv2.BORDER_REPLICATE)
    image = cv2.GaussianBlur(image, (0, 0), random.uniform(0.1, BLUR))
    image = np.clip(image + random.uniform(-LIGHT, LIGHT), 0, 255).round().astype(np.uint8)
    quality = int(random.integers(*QUALITY))
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _write_lists(meta: Path, names: list, members: list, gallery: list, probes: list) -> None:
    person = dict(gallery + probes)
    _write(meta / "lfw_name_5pts_score.txt", (f"{name} {POINTS} 1.0" for name in names))
    _write(meta / "lfw_face_tid_mid.txt", (f"{n} {t} {m}" for n, t, m in members))
    _write(
        meta / "lfw_template_pair_label.txt",
        (f"{a} {b} {int(person[a] == person[b])}" for a, b in combinations(sorted(person), 2)),
    )
    for name, listed in (("gallery_all", dict(gallery)), ("probe_mixed", dict(probes))):
        rows = (f"{t},{listed[t]},{n}" for n, t, _ in members if t in listed)
        _write(meta / f"lfw_1N_{name}.csv", ["TEMPLATE_ID,SUBJECT_ID,FILENAME", *rows])


def _write(path: Path, lines) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))


def main() -> None:
    found = people()
    write_pack(OUT / "lfw_pairs.bin", _several(found), np.random.default_rng([SEED, 0]))
    write_templates(OUT / "lfw_video", found, marked=True)
    write_templates(OUT / "lfw_stills", found, marked=False)


def _several(found: People) -> People:
    return {person: x[:MOST_PHOTOGRAPHS] for person, x in found.items() if len(x) > 1}


if __name__ == "__main__":
    main()
