"""People as an IJB-style template set: loose crops, landmarks, templates, 1:1 and 1:N lists."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from stages.core.detector import Detector
from stages.core.errors import InputError
from stages.fetch.encode import jpeg
from stages.fetch.params import Params

GALLERY_IMAGES = 3  # images of a gallery template; the other seven make up probe templates
PROBE_SIZES = (1, 1, 2, 3)  # images of the probe templates of one person
VIDEO_FROM = 2  # a probe template of this many images or more has its last two from one video
GALLERIES = ("G1", "G2")


@dataclass
class Lists:
    """Rows of the lists, and the numbers given so far."""

    images: list[tuple[int, np.ndarray]] = field(default_factory=list)  # person, photograph
    members: list[tuple[int, int, int]] = field(default_factory=list)  # image, template, media
    gallery: dict[str, list[tuple[int, int]]] = field(default_factory=dict)  # template, subject
    probes: list[tuple[int, int]] = field(default_factory=list)
    media: int = 0
    templates: int = 0

    def template(self, person: int, photographs: list[np.ndarray], video: int) -> int:
        """Add a template; its last `video` images are frames of one medium."""
        self.templates += 1
        for place, photograph in enumerate(photographs):
            if place <= len(photographs) - video or video == 0:
                self.media += 1
            self.images.append((person, photograph))
            self.members.append((len(self.images), self.templates, self.media))
        return self.templates


def write_templates(folder: Path, people: dict[int, list[np.ndarray]], settings: Params) -> None:
    """Each person: one gallery template of three images and four probe templates of the others.

    Half of the people are enrolled in gallery G1, half in G2, so that searching one gallery with
    the probes of the other is a search without a mate. Every image is in exactly one template.
    """
    lists = _lists(people, np.random.default_rng([settings.seed, 2]))
    (folder / "meta").mkdir(parents=True)
    (folder / "loose_crop").mkdir()
    points = []
    detector = Detector()
    progress = tqdm(lists.images, "landmarks", unit="image", file=sys.stderr, disable=None)
    for number, (person, photograph) in enumerate(progress, 1):
        (folder / "loose_crop" / f"{number}.jpg").write_bytes(jpeg(photograph, settings.quality))
        face = detector.largest(cv2.cvtColor(photograph, cv2.COLOR_GRAY2RGB))
        if face is None:
            problem = f"no face found on a photograph of person {person}"
            raise InputError(folder, problem, "reinstall: pip install -r requirements.txt")
        numbers = [f"{value:.3f}" for value in (*face.landmarks.reshape(-1), face.score)]
        points.append(" ".join([f"{number}.jpg", *numbers]))
    meta = folder / "meta"
    _write(meta / "ijbc_name_5pts_score.txt", points)
    members = (f"{image}.jpg {template} {media}" for image, template, media in lists.members)
    _write(meta / "ijbc_face_tid_mid.txt", members)
    enrolled = [row for rows in lists.gallery.values() for row in rows]
    pairs = product(enrolled, lists.probes)
    _write(
        meta / "ijbc_template_pair_label.txt",
        (f"{one} {other} {int(mate == subject)}" for (one, mate), (other, subject) in pairs),
    )
    for name, rows in lists.gallery.items():
        _write_csv(meta / f"ijbc_1N_gallery_{name}.csv", rows, lists)
    _write_csv(meta / "ijbc_1N_probe_mixed.csv", lists.probes, lists)


def _lists(people: dict[int, list[np.ndarray]], rng: np.random.Generator) -> Lists:
    lists = Lists()
    half = (len(people) + 1) // 2
    for place, (person, photographs) in enumerate(people.items()):
        order = rng.permutation(len(photographs))
        drawn = iter([photographs[i] for i in order])
        enrolled = lists.template(person, [next(drawn) for _ in range(GALLERY_IMAGES)], video=0)
        gallery = lists.gallery.setdefault(GALLERIES[place >= half], [])
        gallery.append((enrolled, person))
        for size in PROBE_SIZES:
            video = VIDEO_FROM if size >= VIDEO_FROM else 0
            lists.probes.append(
                (lists.template(person, [next(drawn) for _ in range(size)], video), person)
            )
    return lists


def _write_csv(path: Path, rows: list[tuple[int, int]], lists: Lists) -> None:
    """TEMPLATE_ID, SUBJECT_ID, FILENAME: one line an image, as NIST's lists have it."""
    subject = dict(rows)
    lines = [
        f"{template},{subject[template]},{image}.jpg"
        for image, template, _ in lists.members
        if template in subject
    ]
    _write(path, ["TEMPLATE_ID,SUBJECT_ID,FILENAME", *lines])


def _write(path: Path, lines) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))
