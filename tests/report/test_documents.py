"""What the documents say of experiments: their tables, and the sets these were made with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from docs.results import coverage, lfw_sets, lfw_tables, noise
from stages.datasets import bin as packs
from stages.datasets import ijb
from stages.report.published import filled
from tests.datasets.samples import jpeg, write

PHOTOGRAPHS = 4


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for person in range(150):
        for n in range(PHOTOGRAPHS):
            image = jpeg(person * PHOTOGRAPHS + n) + str(person).encode()
            write(tmp_path / f"data/raw/lfw/{person}/{n}.jpg", image)
    lfw_sets.main()
    return tmp_path / "data/raw"


def test_the_tables_are_those_of_the_results() -> None:
    for path, text in lfw_tables.documents().items():
        assert path.read_text() == text, f"run python -m {lfw_tables.NAME}"


def test_folds_of_the_pack_are_balanced_and_share_no_person(folder: Path) -> None:
    person = {image: label for label, images in lfw_sets.people().items() for image in images}
    source = packs.read(folder / "lfw_pairs.bin", packs.Params())
    shown = np.array([person[record.payload] for record in source.records])
    pairs = source.tables["pairs"]
    sides = np.stack([shown[pairs["first"]], shown[pairs["second"]]], axis=1)
    np.testing.assert_array_equal(sides[:, 0] == sides[:, 1], pairs["same"])
    assert np.mean(pairs["same"]) == 0.5
    folds = [set(some.ravel()) for some in np.split(sides, lfw_sets.FOLDS)]
    assert sum(map(len, folds)) == len(set.union(*folds))


def test_both_template_sets_have_the_same_images_and_other_media(folder: Path) -> None:
    video, stills = (ijb.read(folder / f"lfw_{x}", ijb.Params()) for x in ("video", "stills"))
    first, second = ([r.payload for r in s.records] for s in (video, stills))
    assert first == second
    marked, single = (s.tables["templates"] for s in (video, stills))
    assert len(np.unique(single["media"])) == len(first)
    photographs = PHOTOGRAPHS * len(lfw_sets.people())
    assert len(np.unique(marked["media"])) == photographs
    frames = np.unique(marked["media"], return_counts=True)[1]
    assert set(frames) == {1, 1 + lfw_sets.FRAMES}
    assert set(video.tables["probes"]["template"]).isdisjoint(video.tables["galleries"]["template"])


def test_the_table_of_processes_is_that_of_its_file() -> None:
    text, tables = noise.DOCUMENT.read_text(), noise.document(noise.read())
    assert filled(text, noise.NAME, tables) == text, f"run python -m {noise.NAME}"


def test_the_size_of_a_difference_is_its_root_mean_square_over_pairs_of_trainings() -> None:
    first, metrics = next(iter(noise.WAYS)), list(noise.METRICS)
    values = {first: [0.5, 0.51, 0.53], f"{first}, another": [0.52, 0.5, 0.53]}
    measured = pd.DataFrame(
        [{"way": way, "seed": seed, **dict.fromkeys(metrics, value)}
         for way, own in values.items() for seed, value in enumerate(own)]
    )  # fmt: skip
    lines = noise.sizes(measured).splitlines()
    seeds, other = ((1 + 4 + 9) / 3) ** 0.5, ((4 + 1 + 0) / 3) ** 0.5
    assert lines[2:] == [
        f"| the seed (3 pairs) {f'| {seeds:.1f} ' * 3}|",
        f"| {first}, another (3 pairs) {f'| {other:.1f} ' * 3}|",
    ]


def test_the_table_of_coverage_is_that_of_its_file() -> None:
    text, known = coverage.DOCUMENT.read_text(), coverage.read()
    table = filled(text, coverage.NAME, coverage.rows(known))
    assert table == text, f"run python -m {coverage.NAME} --table"


def test_the_table_of_coverage_bears_out_what_is_said_of_it() -> None:
    """93 to 97 %, but for what chance does in one line of 10,000."""
    for one in coverage.read().itertuples():
        for held in (one.auc_held, one.eer_held):
            assert held >= binom.ppf(1e-4, one.benchmarks, 0.93), one
            assert held <= binom.ppf(1 - 1e-4, one.benchmarks, 0.97) or one.misordered < 10, one
