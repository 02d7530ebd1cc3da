"""Any model's embeddings by any protocol, nothing trained, extracted or written.

    python -m stages.evaluate.embeddings bin lfw.bin pairs embeddings.npy --dimensions 512
    python -m stages.evaluate.embeddings ijb IJBC "{protocol: templates, pick: nearest}" both.npy
    python -m stages.evaluate.embeddings ijb IJBC \\
        "{protocol: templates, descriptors: {mean: {detector: true}}}" both.npy

The arguments are a format (a file of stages/datasets), where the set lies, a protocol with its
options as in params.yaml, and the embeddings in a file as docs/features.md describes, such as .npy
of [n, d], or [2, n, d] with those of the mirror images. `descriptors` holds options of the
descriptors mean and norm, as that section of params.yaml does; what is not given is as the
descriptor's file says. Where the file names the images of its rows, they may come in any order;
otherwise rows are the images in the vendor's order: of a .bin pack all images or the distinct ones,
of IJB the lines of the list of landmarks. The images themselves are not needed for IJB. Settings of
two resolutions, rules by the size of an image, and heads are the pipeline's.
"""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.entry import start
from stages.core.errors import InputError
from stages.core.files import sha256
from stages.core.index import IN_OWN_FILE, UNKNOWN_LABEL, Index
from stages.core.params import Section, choices, choose, load, parse
from stages.core.yaml12 import parse_yaml
from stages.datasets._features import read_features
from stages.datasets._order import Placed, interleaved, place
from stages.datasets._source import Source
from stages.descriptors import mean, norm
from stages.descriptors._pooling import Templates
from stages.protocols._bootstrap import Resampling
from stages.protocols._result import Result
from stages.protocols._rows import Rows
from stages.protocols._tables import Tables

ROW, MODEL, SIZE = "embeddings", "model", 112
OF_TEMPLATES = ("templates", "identification")  # protocols without rows of images
COMMAND = Path("the command line")


class Descriptors(Section):
    """Options of the descriptors of templates."""

    mean: mean.Params
    norm: norm.Params


def main(
    format: str, root: str, protocol: str, embeddings: str, dimensions: int | None = None
) -> None:
    """Score embeddings of a set by a protocol; print a Markdown table and what it rests on."""
    choose("datasets", format, "format")
    reader = importlib.import_module(f"stages.datasets.{format}")
    source = reader.read(Path(root), parse(reader.Params, {}, format))
    placed = read(source, Path(embeddings), dimensions)
    print(table(evaluate(source, Path(root), protocol, placed)))
    origins = _origins(source, Path(embeddings), protocol) + list(
        map(": ".join, placed.notes.items())
    )
    print("\n" + "\n".join(f"- {line}" for line in origins))


def read(source: Source, path: Path, dimensions: int | None = None) -> Placed:
    """The embeddings in the file `path`, in the order of the set's images.

    Raise InputError if they do not fit the set.
    """
    given = read_features(path, dimensions)
    return place(path, given, source.records.names(), interleaved(source.tables.get("pairs")))


def evaluate(source: Source, root: Path, protocol: str, placed: Placed) -> dict[str, Result]:
    """Results by row: `embeddings`, or the descriptors mean and norm of templates.

    Raise InputError if the set or the embeddings lack what the protocol needs, or if there is no
    such protocol.
    """
    views = [placed.arrays[name] for name in ("embedding", "mirrored") if name in placed.arrays]
    module, options, pooling = _protocol(protocol, len(views) == 2)
    tables = Tables(root, source.tables, source.absent, source=root)
    index = _index(_labels(source))
    arrays = {
        "embedding": views[0],
        "mirrored": views[-1],
        "norm": np.linalg.norm(views[0], axis=1),
    }
    descriptors = {}
    if "templates" in source.tables:
        arrays |= _descriptors(tables, index, views, pooling)
        descriptors = {name: (MODEL, name) for name in ("mean", "norm")}
    rows = Rows(
        read=lambda model, name: arrays[name],
        settings={ROW: (MODEL, MODEL)} if not _of_templates(module) else {},
        sizes={SIZE: MODEL},
        upsampled={},
        descriptors=descriptors,
        heads={},
    )
    return module.evaluate(rows, tables, index, options, Resampling())


def _origins(source: Source, path: Path, protocol: str) -> list[str]:
    """What the numbers rest on, a line each."""
    resampling = Resampling()
    lines = [f"embeddings: {path.name} sha256 {sha256(path)}"]
    for name, columns in source.tables.items():
        digest = hashlib.sha256()
        for column, values in sorted(columns.items()):
            array = np.asarray(values)
            digest.update(f"{column} {array.shape} {array.dtype.str} ".encode())
            digest.update(array.astype("U").tobytes() if array.dtype == object else array.tobytes())
        lines.append(f"list {name}: sha256 {digest.hexdigest()}")
    drawn = f"{resampling.replicates} replicates, seed {resampling.seed}"
    return [*lines, f"protocol: {protocol}", f"intervals: {drawn}"]


def _protocol(text: str, mirrored: bool) -> tuple[Any, Section, Descriptors]:
    """The protocol's module, its options, and those of the descriptors."""
    given = parse_yaml(text, COMMAND, "give a name, or options in braces")
    options = dict(given) if isinstance(given, dict) else {"protocol": given}
    name = options.pop("protocol", None)
    if not isinstance(name, str):
        remedy = "give a name, or options in braces like {protocol: pairs, flip: false}"
        raise InputError(COMMAND, f"{text!r} names no protocol", remedy)
    module, _ = load("protocols", name, {}, "protocol")
    if "descriptors" in options and not _of_templates(module):
        remedy = f"leave it out, or choose one of the protocols {', '.join(OF_TEMPLATES)}"
        raise InputError(COMMAND, f"{name} scores no descriptors", remedy, "descriptors")
    pooling = _descriptor_options(options.pop("descriptors", {}), mirrored)
    return module, _typed(module.Params, options, "protocol", mirrored), pooling


def _of_templates(module: Any) -> bool:
    return module.__name__.rpartition(".")[2] in OF_TEMPLATES


def _descriptor_options(given: Any, mirrored: bool) -> Descriptors:
    if not isinstance(given, dict):
        remedy = "give options like {mean: {detector: true}}"
        raise InputError(COMMAND, f"{given!r} is no mapping", remedy, "descriptors")
    typed = {
        name: _typed(field.annotation, given.get(name, {}), f"descriptors.{name}", mirrored)
        for name, field in Descriptors.model_fields.items()
    }
    return parse(Descriptors, given | typed, "descriptors", COMMAND)


def _typed(model: type[Section], given: Any, key: str, mirrored: bool) -> Section:
    """`given` as a `model`; without embeddings of mirror images, `flip` is off and stays off."""
    if mirrored or "flip" not in model.model_fields:
        return parse(model, given, key, COMMAND)
    if isinstance(given, dict):
        given = {"flip": False} | given
    params = parse(model, given, key, COMMAND)
    if params.flip:
        remedy = "give [2, n, d] with the embeddings of the mirror images, or leave `flip` out"
        raise InputError(COMMAND, "the array [n, d] has no mirror images", remedy, f"{key}.flip")
    return params


def _labels(source: Source) -> np.ndarray:
    """Who is on each image; of a set with lists these tell, and its images need not be there."""
    if source.tables:
        return np.full(len(source.records), UNKNOWN_LABEL)
    return np.array([record.label for record in source.records])


def _index(label: np.ndarray) -> Index:
    """As if every image were there, aligned and distinct."""
    count = len(label)
    text = np.array([str(k) for k in range(count)], object)
    return Index(
        path=text,
        offset=np.full(count, IN_OWN_FILE),
        length=np.zeros(count, np.int64),
        label=label,
        width=np.full(count, SIZE),
        height=np.full(count, SIZE),
        sha1=text,
        source=text,
        record=np.arange(count),
        landmarks=np.full((count, 10), np.nan, np.float32),
    )


def _descriptors(
    tables: Tables, index: Index, views: np.ndarray, pooling: Descriptors
) -> dict[str, np.ndarray]:
    templates = Templates.of(tables["templates"], index.record)
    return {
        f"descriptor_{name}": module.describe(
            views[0], views[-1], templates, None, None, getattr(pooling, name)
        )[1]
        for name, module in (("mean", mean), ("norm", norm))
    }


def table(results: dict[str, Result]) -> str:
    """Markdown: every measure in % with its 95 % interval."""
    lines = [
        "| row | metric | value | 95 % interval | method |",
        "| --- | --- | ---: | --- | --- |",
    ]
    for row, result in results.items():
        for name, m in result.measures.items():
            ends = f"{100 * m.low:.2f} to {100 * m.high:.2f}"
            lines.append(f"| {row} | {name} | {100 * m.value:.2f} | {ends} | {m.method} |")
    return "\n".join(lines)


if __name__ == "__main__":
    protocols = ", ".join(choices("protocols"))
    arguments = {
        "format": f"of the set: {', '.join(choices('datasets'))}",
        "root": "file or folder of the set, as in docs/datasets.md",
        "protocol": f"{protocols}; with options: '{{protocol: pairs, flip: false}}'",
        "embeddings": "file with one row an image: .npy, .npz, .pickle, .pkl, .list or .txt, as in "
        "docs/features.md",
    }
    width = {
        "type": int,
        "metavar": "D",
        "help": "numbers of an embedding, if the file may be wider",
    }
    options = {name: {"help": text} for name, text in arguments.items()}
    start(main, options={**options, "--dimensions": width})
