"""The command that scores any model's embeddings, on a pack and on IJB's lists alone."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stages.core.errors import InputError
from stages.core.files import sha256
from stages.datasets import folder
from stages.evaluate.embeddings import evaluate, main, read, table
from stages.protocols._bootstrap import Drawn
from stages.protocols._result import Measure, Result
from tests.protocols import made

META = Path(__file__).resolve().parents[1] / "golden/ijb/meta_synth/IJBB"

OPTIONS = "{protocol: templates, descriptors: {%s}}"


def value(text: str, row: str, metric: str) -> float:
    line = next(x for x in text.splitlines() if x.startswith(f"| {row} | {metric} |"))
    return float(line.split("|")[3])


def pack(folder: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    """40 pairs of ten people; some images occur in several pairs."""
    random = np.random.default_rng(0)
    person = np.repeat(np.arange(10), 4)
    first = np.arange(40)
    second = np.where(first % 2 == 0, first + 1, (first + 5) % 40)
    images = [b"image %d" % k for pair in zip(first, second, strict=True) for k in pair]
    same = person[first] == person[second]
    path = folder / "made.bin"
    path.write_bytes(pickle.dumps((images, same.tolist()), protocol=2))
    vectors = made.faces(random, person, 0.6)
    order = np.stack([first, second], axis=1).reshape(-1)
    return path, vectors[order], same


@pytest.mark.parametrize("rows", ["all", "distinct"])
def test_a_pack(tmp_path: Path, capsys: pytest.CaptureFixture, rows: str) -> None:
    path, vectors, same = pack(tmp_path)
    if rows == "distinct":  # by first appearance
        vectors = vectors[np.sort(np.unique(vectors, axis=0, return_index=True)[1])]
    np.save(tmp_path / "e.npy", vectors)
    main("bin", str(path), "{protocol: pairs, folds: 5}", str(tmp_path / "e.npy"))
    found = value(capsys.readouterr().out, "embeddings", "accuracy")
    assert 50 < found < 100
    if rows == "all":
        cosine = [made.cosines(vectors[[2 * k]], vectors[[2 * k + 1]])[0, 0] for k in range(40)]
        best = max(np.mean((np.array(cosine) >= t) == same) for t in cosine)
        assert found <= 100 * best + 1e-9
    else:
        np.save(tmp_path / "e.npy", pack(tmp_path)[1])
        main("bin", str(path), "{protocol: pairs, folds: 5}", str(tmp_path / "e.npy"))
        assert value(capsys.readouterr().out, "embeddings", "accuracy") == found


def test_ijb_without_an_image(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Mirror images are summed; `mean` and `norm` are rows."""
    views = np.random.default_rng(1).normal(size=(2, 200, 16)).astype(np.float32)
    np.save(tmp_path / "plain.npy", views.sum(axis=0))
    np.save(tmp_path / "both.npy", views)
    main("ijb", str(META), "templates", str(tmp_path / "both.npy"))
    both = capsys.readouterr().out
    main("ijb", str(META), "templates", str(tmp_path / "plain.npy"))
    plain = capsys.readouterr().out
    differing = {
        a.split()[1] for a, b in zip(both.split("\n"), plain.split("\n"), strict=True) if a != b
    }
    assert differing == {"embeddings:"}  # the file's own hash
    for said in ("- list templates: sha256 ", "- protocol: templates\n", "1000 replicates, seed 0"):
        assert said in both
    assert 0 < value(both, "norm", "auc") < 100
    assert "| embeddings |" not in both


def test_every_kind_of_file(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """What `features` of params.yaml takes, the command takes, and both give the same."""
    path, vectors, _ = pack(tmp_path)
    mirrored = np.roll(vectors, 1, axis=1)
    np.save(tmp_path / "e.npy", np.stack([vectors, mirrored]))
    np.savez(tmp_path / "e.npz", embedding=vectors, mirrored=mirrored)
    np.save(tmp_path / "one.npy", vectors)
    np.savetxt(tmp_path / "one.list", vectors, "%.9g")
    lines = (tmp_path / "one.list").read_text().splitlines()
    (tmp_path / "one.list").write_text("".join(f"p/{k} {x}\n" for k, x in enumerate(lines)))
    found = {}
    for name in ("e.npy", "e.npz", "one.npy", "one.list"):
        main("bin", str(path), "{protocol: pairs, folds: 5}", str(tmp_path / name))
        found[name] = value(capsys.readouterr().out, "embeddings", "accuracy")
    assert found["e.npy"] == found["e.npz"]
    assert found["one.npy"] == found["one.list"]
    with pytest.raises(InputError, match="gone.npy: file not found"):
        main("bin", str(path), "pairs", str(tmp_path / "gone.npy"))
    np.savez(tmp_path / "archive.npz", embedding=vectors)
    (tmp_path / "archive.npz").rename(tmp_path / "archive.npy")
    with pytest.raises(InputError, match="name it .npz"):
        main("bin", str(path), "pairs", str(tmp_path / "archive.npy"))
    np.save(tmp_path / "large.npy", np.full((80, 2), 1e300))
    with pytest.raises(InputError, match=r"row 0 .* not finite"):
        main("bin", str(path), "pairs", str(tmp_path / "large.npy"))


@pytest.mark.parametrize(
    ("array", "protocol", "message"),
    [
        (np.zeros((3, 4), np.float32), "templates", "3 rows for 200 images"),
        (np.zeros(200, np.float32), "templates", "the shape [200]"),
        (np.full((200, 2), np.nan, np.float32), "templates", "not finite"),
        (np.ones((200, 2), np.float32), "temples", "'temples' is none of"),
        (np.ones((200, 2), np.float32), "{fused: true}", "names no protocol"),
        (np.ones((200, 2), np.float32), "pairs", "this set has no such list"),
        (np.ones((200, 2), np.float32), "{protocol: all_pairs, flip: true}", "no mirror images"),
        (np.ones((200, 2), np.float32), "identification", "meta/*_1N_probe_mixed.csv: file not"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, array, protocol, message) -> None:
    np.save(tmp_path / "e.npy", array)
    with pytest.raises(InputError) as fault:
        main("ijb", str(META), protocol, str(tmp_path / "e.npy"))
    assert message in str(fault.value)


def test_options_of_descriptors(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """The mean with `detector` is the sum of unit embeddings times the detector's scores."""
    vectors = np.random.default_rng(1).normal(size=(200, 16)).astype(np.float32)
    lines = (META / "meta/ijbb_name_5pts_score.txt").read_text().splitlines()
    score = np.array([float(line.split()[-1]) for line in lines])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.save(tmp_path / "raw.npy", vectors)
    np.save(tmp_path / "weighted.npy", unit * score[:, None])
    rows = {}
    for file, options in (
        ("raw", "mean: {}"),
        ("raw", "mean: {detector: true, flip: false}"),
        ("weighted", "norm: {media: true}"),
    ):
        main("ijb", str(META), OPTIONS % options, str(tmp_path / f"{file}.npy"))
        text = capsys.readouterr().out
        rows[options] = [value(text, options[:4], metric) for metric in ("auc", "eer")]
    plain, weighted, expected = rows.values()
    assert weighted == expected
    assert weighted != plain


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("mean: {detecter: true}", "mean.detecter: unknown key. Remedy: remove it; the keys here "
         "are flip, detector, media, unit"),
        ("norm: {media: perhaps}", "descriptors.norm.media"),
        ("norm: {flip: true}", "descriptors.norm.flip: the array [n, d] has no mirror images"),
        ("kappa: {}", "descriptors.kappa: unknown key. Remedy: remove it; the keys here are mean"),
        ("mean: 1", "descriptors.mean"),
    ],
)  # fmt: skip
def test_wrong_options_of_descriptors_are_named(tmp_path: Path, options, message) -> None:
    np.save(tmp_path / "e.npy", np.ones((200, 2), np.float32))
    with pytest.raises(InputError) as fault:
        main("ijb", str(META), OPTIONS % options, str(tmp_path / "e.npy"))
    assert message in str(fault.value)
    assert fault.value.file == "the command line"


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        ("{protocol: templates, descriptors: [mean]}", "is no mapping"),
        ("{protocol: all_pairs, descriptors: {mean: {}}}", "all_pairs scores no descriptors"),
    ],
)
def test_options_of_descriptors_that_have_no_place(tmp_path: Path, protocol, message) -> None:
    np.save(tmp_path / "e.npy", np.ones((200, 2), np.float32))
    with pytest.raises(InputError, match=message):
        main("ijb", str(META), protocol, str(tmp_path / "e.npy"))


def test_the_command(tmp_path: Path) -> None:
    (tmp_path / "e.npy").write_bytes(b"no array")
    command = ["stages.evaluate.embeddings", "ijb", str(META), "templates", str(tmp_path / "e.npy")]
    run = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert "e.npy: no array of numbers" in run.stderr
    assert run.stderr.count("\n") == 1


def test_people_of_a_set_without_lists_are_its_labels(tmp_path: Path) -> None:
    """A folder of people, whose images are read for their number alone."""
    person = np.repeat(np.arange(4), 5)
    for k, one in enumerate(person):
        image = tmp_path / f"set/person_{one}/{k}.jpg"
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(b"no picture")
    vectors = made.faces(np.random.default_rng(0), person, 0.3)
    np.save(tmp_path / "e.npy", vectors)
    source = folder.read(tmp_path / "set", folder.Params())
    placed = read(source, tmp_path / "e.npy")
    (found,) = evaluate(source, tmp_path / "set", "all_pairs", placed).values()
    scores = made.cosines(vectors, vectors)[np.triu_indices(20, 1)]
    same = (person[:, None] == person)[np.triu_indices(20, 1)]
    expected = np.mean(scores[same][:, None] > scores[~same])
    assert found.measures["auc"].value == pytest.approx(expected, abs=1e-6)


def lines(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(start)]


def test_the_table_is_in_percent_from_the_lower_end_to_the_upper() -> None:
    drawn = Drawn(9, "bootstrap", "key")
    measure = Measure(0.98765, 0.9, 0.99, 600, "bootstrap", np.zeros(2), drawn)
    line = "| embeddings | accuracy | 98.77 | 90.00 to 99.00 | bootstrap |"
    assert table({"embeddings": Result({"accuracy": measure}, {})}).splitlines()[2:] == [line]


def test_mirror_images_are_summed_unless_flip_is_off(tmp_path: Path, capsys) -> None:
    """The sum given as it is scores alike; the first half alone scores as without the other."""
    path, vectors, _ = pack(tmp_path)
    mirrored = np.random.default_rng(5).normal(size=vectors.shape).astype(np.float32)
    for name, array in (("both", np.stack([vectors, mirrored])), ("sum", vectors + mirrored),
                        ("first", vectors)):  # fmt: skip
        np.save(tmp_path / f"{name}.npy", array)
    said = {}
    for name, options in (("both", ""), ("sum", ""), ("both", "flip: false, "), ("first", "")):
        main("bin", str(path), f"{{protocol: pairs, {options}folds: 5}}",
             str(tmp_path / f"{name}.npy"))  # fmt: skip
        said[name, options] = lines(capsys.readouterr().out, "| embeddings |")
    both, summed, plain, first = said.values()
    assert both == summed
    assert plain == first
    assert both != plain


def test_lengths_are_those_of_the_embeddings(tmp_path: Path, capsys) -> None:
    """Only genuine pairs of short embeddings are wrong: discarding these leaves no error."""
    degrees = np.zeros(80)
    degrees[1::2] = np.where(np.arange(40) < 4, 80, np.where(np.arange(40) < 20, 10, 60))
    radians, length = np.deg2rad(degrees), np.repeat(np.where(np.arange(40) < 4, 1.0, 2.0), 2)
    vectors = length[:, None] * np.stack([np.cos(radians), np.sin(radians)], axis=1)
    np.save(tmp_path / "e.npy", vectors.astype(np.float32))
    images = [b"image %d" % k for k in range(80)]
    path = tmp_path / "made.bin"
    path.write_bytes(pickle.dumps((images, (np.arange(40) < 20).tolist()), protocol=2))
    main("bin", str(path), "{protocol: quality, fmr: 0.1}", str(tmp_path / "e.npy"))
    text = capsys.readouterr().out
    assert value(text, "norm", "fnmr@discard=0") == 20
    assert value(text, "norm", "fnmr@discard=0.2") == 0


def test_each_descriptor_has_its_own_options(tmp_path: Path, capsys) -> None:
    """What is set for `norm` changes the rows of `norm` alone, and the other way round."""
    views = np.random.default_rng(1).normal(size=(2, 200, 16)).astype(np.float32)
    np.save(tmp_path / "e.npy", views)
    found = {}
    for options in ("", "mean: {flip: false}", "norm: {flip: false}"):
        main("ijb", str(META), OPTIONS % options, str(tmp_path / "e.npy"))
        text = capsys.readouterr().out
        found[options] = [lines(text, f"| {row} |") for row in ("mean", "norm")]
    plain, mean, norm = found.values()
    assert (mean[0] != plain[0], mean[1] == plain[1]) == (True, True)
    assert (norm[0] == plain[0], norm[1] != plain[1]) == (True, True)


def test_numbers_rest_on_the_files_and_lists_that_are_there(tmp_path: Path, capsys) -> None:
    """Another embedding, or another answer in the list of pairs, has a hash of its own."""
    path, vectors, same = pack(tmp_path)
    np.save(tmp_path / "e.npy", vectors)
    images = pickle.loads(path.read_bytes())[0]
    said = []
    for answers in (same, same, np.roll(same, 1)):
        path.write_bytes(pickle.dumps((images, answers.tolist()), protocol=2))
        main("bin", str(path), "{protocol: pairs, folds: 5}", str(tmp_path / "e.npy"))
        said.append(lines(capsys.readouterr().out, "- "))
    first, again, other = said
    assert first[0] == f"- embeddings: e.npy sha256 {sha256(tmp_path / 'e.npy')}"
    assert first == again
    assert [k for k, (a, b) in enumerate(zip(first, other, strict=True)) if a != b] == [1]
    assert first[1].startswith("- list pairs: sha256 ")
    assert first[2:] == [
        "- protocol: {protocol: pairs, folds: 5}",
        "- intervals: 1000 replicates, seed 0",
        "- order: the order of the rows is taken on trust: the file names no images",
    ]


def named(path: Path, names: list[str], vectors: np.ndarray) -> Path:
    """MagFace's feature list."""
    rows = zip(names, vectors, strict=True)
    path.write_text("".join(f"{name} {' '.join(map(str, row))} \n" for name, row in rows))
    return path


@pytest.mark.parametrize("ending", ["list", "npz"])
def test_rows_that_are_named_may_come_in_any_order(tmp_path: Path, capsys, ending) -> None:
    """As `ls` sorts them; in another order without names, other numbers."""
    vectors = np.random.default_rng(1).normal(size=(200, 16)).astype(np.float32)
    lines_of_set = (META / "meta/ijbb_name_5pts_score.txt").read_text().splitlines()
    names = [line.split()[0] for line in lines_of_set]
    order = sorted(range(200), key=lambda k: names[k])
    np.save(tmp_path / "e.npy", vectors)
    np.save(tmp_path / "sorted.npy", vectors[order])
    in_order = [names[k] for k in order]
    np.savez(tmp_path / "e.npz", embedding=vectors[order], names=np.array(in_order))
    named(tmp_path / "e.list", in_order, vectors[order])
    found = {}
    for file in ("e.npy", "sorted.npy", f"e.{ending}"):
        main("ijb", str(META), "templates", str(tmp_path / file))
        out, err = capsys.readouterr()
        found[file] = lines(out, "| mean |")
        told = "put in its order" if file == f"e.{ending}" else "taken on trust"
        assert told in err
        assert told in lines(out, "- order: ")[0]
    assert found[f"e.{ending}"] == found["e.npy"] != found["sorted.npy"]


def test_what_numpy_writes_as_text_has_no_names(tmp_path: Path) -> None:
    """The first number of each row would be taken for a name, and lost."""
    np.savetxt(tmp_path / "e.txt", np.random.default_rng(1).normal(size=(200, 16)))
    with pytest.raises(InputError, match="the first word of each line is a number"):
        main("ijb", str(META), "templates", str(tmp_path / "e.txt"))


def test_rows_of_zeros_are_told(tmp_path: Path, capsys) -> None:
    vectors = np.random.default_rng(1).normal(size=(200, 16)).astype(np.float32)
    vectors[[2, 5]] = 0
    np.save(tmp_path / "e.npy", vectors)
    main("ijb", str(META), "templates", str(tmp_path / "e.npy"))
    out, err = capsys.readouterr()
    assert "2 of 200 rows of embedding are zeros ('loose_crop/" in err
    assert lines(out, "- zeros: 2 of 200 rows")


def test_the_width_of_the_model(tmp_path: Path) -> None:
    """[n, 2d] with the mirror images' beside them."""
    np.save(tmp_path / "e.npy", np.random.default_rng(1).normal(size=(200, 16)))
    with pytest.raises(InputError, match=r"numpy.stack\(numpy.split\(a, 2, axis=1\)\)"):
        main("ijb", str(META), "templates", str(tmp_path / "e.npy"), dimensions=8)
    main("ijb", str(META), "templates", str(tmp_path / "e.npy"), dimensions=16)


def test_a_pack_s_images_by_their_numbers(tmp_path: Path, capsys) -> None:
    path, vectors, _ = pack(tmp_path)
    np.save(tmp_path / "e.npy", vectors)
    order = np.random.default_rng(0).permutation(len(vectors))
    named(tmp_path / "e.list", [f"lfw/{k}.jpg" for k in order], vectors[order])
    found = []
    for file in ("e.npy", "e.list"):
        main("bin", str(path), "{protocol: pairs, folds: 5}", str(tmp_path / file))
        found.append(lines(capsys.readouterr().out, "| embeddings |"))
    assert found[0] == found[1]
    np.save(tmp_path / "e.npy", vectors[order])
    main("bin", str(path), "{protocol: pairs, folds: 5}", str(tmp_path / "e.npy"))
    assert "WARNING" in capsys.readouterr().err


def test_a_list_s_errors_name_the_file_that_was_given(tmp_path: Path) -> None:
    """No list of a pack was written: a path to one would lead nowhere."""
    root, vectors, _ = pack(tmp_path)
    np.save(tmp_path / "e.npy", vectors)
    with pytest.raises(InputError) as caught:
        main("bin", str(root), "{protocol: pairs, folds: 40}", str(tmp_path / "e.npy"))
    assert str(caught.value).startswith(f"{root}: list `pairs`: ")
    with pytest.raises(InputError) as caught:
        main("bin", str(root), "templates", str(tmp_path / "e.npy"))
    assert str(caught.value).startswith(f"{root}: list `template_pairs`: this set has no such list")
