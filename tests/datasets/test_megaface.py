"""MegaFace: its lists in both forms, its lists of noise, and lists that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stages.core.errors import InputError
from stages.datasets.megaface import Params, read
from tests.datasets.samples import jpeg, write

PROBES = ["Adam Brody/Adam_Brody_1.png", "Adam Brody/Adam_Brody_2.png", "Zoe/Zoe_1.png"]
DISTRACTORS = ["111/22@N00/5_0.jpg", "111/33@N00/6_0.jpg", "111/33@N00/7_1.jpg"]


def release(root: Path, noise: bool = True) -> Path:
    for part, paths in (("facescrub", PROBES), ("megaface", DISTRACTORS)):
        write(root / f"{part}_lst", "".join(f"{path}\n" for path in paths))
        for n, path in enumerate(paths):
            write(root / f"{part}_images" / path, jpeg(n))
    if noise:
        write(root / "facescrub_noises.txt", "# noise\nAdam_Brody_2.png\n")
        write(root / "megaface_noises.txt", "#1M\n12\t111/33@N00/6_0.jpg\n")
    return root


def test_probes_then_distractors(tmp_path: Path) -> None:
    source = read(release(tmp_path, noise=False), Params(clean=False))
    names = [record.name for record in source.records]
    assert names == [*(f"facescrub_images/{p}" for p in PROBES),
                     *(f"megaface_images/{p}" for p in DISTRACTORS)]  # fmt: skip
    table = source.tables["distractors"]
    assert table["role"].tolist() == ["probe"] * 3 + ["distractor"] * 3
    assert table["subject"].tolist() == [0, 0, 1, -1, -1, -1]


def test_noise_is_left_out(tmp_path: Path) -> None:
    source = read(release(tmp_path), Params())
    assert [r.payload for r in source.records] == [jpeg(0), jpeg(2), jpeg(0), jpeg(2)]
    assert source.tables["distractors"]["subject"].tolist() == [0, 1, -1, -1]


def test_noise_is_left_out_of_the_kits_lists(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names with blanks and .jpg, beside InsightFace's list with underscores and .png."""
    release(tmp_path)
    probes = [path.replace("_", " ", 1).replace(".png", ".jpg") for path in PROBES]
    write(tmp_path / "kit.json", json.dumps({"path": probes, "id": ["x"] * 3}))
    for n, path in enumerate(probes):
        write(tmp_path / "facescrub_images" / path, jpeg(n))
    source = read(tmp_path, Params(probes="kit.json"))
    names = [record.name for record in source.records]
    assert names[:2] == [f"facescrub_images/{probes[0]}", f"facescrub_images/{probes[2]}"]
    said = capsys.readouterr().err.splitlines()
    assert f"{tmp_path / 'facescrub_noises.txt'}: found 1 of 1 names" in said[0]
    assert f"{tmp_path / 'megaface_noises.txt'}: found 1 of 1 names" in said[1]


def test_images_of_other_people_under_the_same_name_stay(tmp_path: Path) -> None:
    """Flickr's images are numbered: 6_0.jpg is the name of many."""
    release(tmp_path)
    other = "112/44@N00/6_0.jpg"
    write(tmp_path / "megaface_lst", "".join(f"{path}\n" for path in [*DISTRACTORS, other]))
    write(tmp_path / "megaface_images" / other, jpeg(7))
    names = [record.name for record in read(tmp_path, Params()).records]
    assert f"megaface_images/{other}" in names
    assert f"megaface_images/{DISTRACTORS[1]}" not in names


@pytest.mark.parametrize("part", ["facescrub", "megaface"])
def test_noise_of_another_set_is_refused(tmp_path: Path, part: str) -> None:
    write(release(tmp_path) / f"{part}_noises.txt", "# x\nElse_1.png\nElse_2.png\n")
    with pytest.raises(InputError, match="found 0 of 2 names: .*'Else_1.png'.*_.*1.*") as caught:
        read(tmp_path, Params())
    assert caught.value.file == str(tmp_path / f"{part}_noises.txt")
    assert "leave the file empty" in caught.value.remedy


def test_an_empty_list_of_noise_leaves_out_nothing(tmp_path: Path) -> None:
    release(tmp_path)
    for part in ("facescrub", "megaface"):
        write(tmp_path / f"{part}_noises.txt", "# none\n")
    assert len(read(tmp_path, Params(clean=True)).records) == 6


def test_lists_of_windows(tmp_path: Path) -> None:
    """A byte order mark, and carriage returns."""
    release(tmp_path)
    for name in ("facescrub_lst", "megaface_noises.txt"):
        text = (tmp_path / name).read_text()
        write(tmp_path / name, b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert len(list(read(tmp_path, Params()).records)) == 4


def test_lists_of_the_kit(tmp_path: Path) -> None:
    release(tmp_path)
    name = "templatelists/megaface_features_list.json_2_1"
    write(tmp_path / name, json.dumps({"path": DISTRACTORS[:2]}))
    source = read(tmp_path, Params(distractors=name, clean=False))
    assert len(source.records) == 5
    assert len(list(source.records)) == 5


@pytest.mark.parametrize("lost", ["facescrub_lst", "megaface_lst", "megaface_noises.txt"])
def test_a_missing_list_says_where_it_comes_from(tmp_path: Path, lost: str) -> None:
    (release(tmp_path) / lost).unlink()
    with pytest.raises(InputError) as caught:
        read(tmp_path, Params())
    assert caught.value.file == str(tmp_path / lost)
    assert "insightface" in caught.value.remedy


@pytest.mark.parametrize("lost", ["facescrub_noises.txt", "megaface_noises.txt"])
def test_without_the_lists_of_noise_they_and_the_option_are_named(
    tmp_path: Path, lost: str
) -> None:
    (release(tmp_path) / lost).unlink()
    with pytest.raises(InputError) as caught:
        read(tmp_path, Params())
    assert caught.value.file == str(tmp_path / lost)
    assert lost in caught.value.remedy
    assert "`clean: false`" in caught.value.remedy


@pytest.mark.parametrize(
    ("content", "problem"),
    [("", "names no image"), ("{", "not JSON"), ('{"path": [1]}', "no list `path`"),
     ("../x.jpg\n", "leads out of"), (b"\xff\xfe", "not UTF-8")],
)  # fmt: skip
def test_lists_that_are_none(tmp_path: Path, content: str | bytes, problem: str) -> None:
    write(release(tmp_path) / "facescrub_lst", content)
    with pytest.raises(InputError, match=problem):
        read(tmp_path, Params())


@pytest.mark.parametrize("path", ["Zoe_1.png", "./Zoe_1.png", "Zoe\\Zoe_1.png"])
def test_a_probe_without_a_folder_is_of_nobody(tmp_path: Path, path: str) -> None:
    write(release(tmp_path) / "facescrub_lst", f"{PROBES[1]}\n{path}\n")
    with pytest.raises(InputError, match="entry 2: .* has no folder"):
        read(tmp_path, Params())


def test_a_missing_image(tmp_path: Path) -> None:
    (release(tmp_path) / "megaface_images" / DISTRACTORS[2]).unlink()
    with pytest.raises(InputError, match="entry 3: cannot read"):
        list(read(tmp_path, Params()).records)
