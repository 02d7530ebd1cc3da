"""params.yaml, as the stage check reads it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import yaml

from faults._cases import (
    BOMBS,
    COUNTS,
    FLIPS,
    PICKLES,
    SIZES,
    TRAVERSAL,
    TRUNCATION,
    Case,
    Damage,
    Format,
    becomes,
    digest_of,
)
from stages.check.code import ROOT
from stages.check.validate import validate
from stages.core.params import PARAMS_FILE, read_params


def make(folder: Path) -> Path:
    shutil.copy2(ROOT / PARAMS_FILE, folder)
    return folder / PARAMS_FILE


def read() -> str:
    params = read_params()
    validate(params)
    return digest_of(params)


def cases(file: Path, draw: Random) -> Iterator[Case]:
    whole = yaml.safe_load(file.read_text())

    def changed(key: str, value: Any) -> Damage:
        params = yaml.safe_load(file.read_text())
        *path, last = key.split(".")
        section = params
        for part in path:
            section = section[part]
        section[last] = value
        return becomes(yaml.safe_dump(params))

    for key in whole:
        less = {name: value for name, value in whole.items() if name != key}
        optional = key == "features"
        yield Case(COUNTS, f"no {key}", becomes(yaml.safe_dump(less)), harmless=optional)
        yield Case(
            SIZES, f"{key}: 10**30", changed(key, 10**30), rf"{key}.*", harmless=key == "seed"
        )
        yield Case(SIZES, f"{key}: -.inf", changed(key, float("-inf")), rf"{key}.*")
    yield Case(COUNTS, "another key", changed("los", "arcface"), "los")
    for key in ("loss", "backbone.name", "dataset", "schedule", "trunk", "train.initial"):
        for path in ("../core/errors", "/etc/passwd", "../../x", "_margin"):
            yield Case(TRAVERSAL, f"{key}: {path}", changed(key, path), f"{key}.*|loss.*|.*")
    for key in ("heads", "test_sets"):
        yield Case(TRAVERSAL, f"{key}: [../../x]", changed(key, ["../../x"]), f"{key}.*")
    for key in ("datasets", "benchmarks", "losses", "features"):
        entry = next(iter(whole[key].values()), {"dataset": "orl_pack", "file": "x.npy"})
        yield Case(
            TRAVERSAL, f"{key}: ../../x", changed(key, whole[key] | {"../../x": entry}), f"{key}.*"
        )
    text = file.read_text()
    tags = {
        "apply": "!!python/object/apply:os.system ['touch executed']",
        "new": "!!python/object/new:os.system ['touch executed']",
        "name": "!!python/name:os.system",
        "module": "!!python/module:os",
        "object": "!!python/object:pathlib.Path {}",
    }
    for name, tag in tags.items():
        yield Case(PICKLES, f"a tag {name}", becomes(text.replace("seed: 0", f"seed: {tag}", 1)))
        yield Case(PICKLES, f"a tag {name} on top", becomes(f"{tag}\n"))
    laughs = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    merges = ["a0: &a0 {k: v}"] + [
        f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 12)
    ]
    for key in ("loss", "heads", "backbone", "seed", "datasets", "benchmarks"):
        spoiled = yaml.safe_dump({name: value for name, value in whole.items() if name != key})
        wrong = "\n".join([*laughs, f"{key}: *a39", spoiled])
        yield Case(BOMBS, f"2**40 words for {key}", becomes(wrong))
    yield Case(BOMBS, "10**12 merged keys", becomes("\n".join(merges)))
    yield Case(BOMBS, "a million brackets", becomes("a: " + "[" * 10**6))
    yield Case(BOMBS, "a hundred thousand dashes", becomes("- " * 10**5))
    yield Case(BOMBS, "a hundred brackets", becomes("a: " + "[" * 100 + "]" * 100), "line 1")
    yield Case(BOMBS, "a number of a million digits", becomes("seed: " + "9" * 10**6))
    yield Case(BOMBS, "a word of eight megabytes", becomes("loss: " + "x" * (8 << 20)))
    yield Case(BOMBS, "eight megabytes of line ends", becomes("\n" * (8 << 20)))


FORMATS = (Format("params.yaml", make, read, cases, (FLIPS, TRUNCATION, COUNTS)),)
