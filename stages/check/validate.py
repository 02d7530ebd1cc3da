"""Every key of params.yaml against the Params that its own file declares."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from stages.check.absent import (
    EMBEDDED,
    OUTPUTS,
    Settings,
    missing_data,
    missing_models,
    weights_of,
)
from stages.check.constants import constant, defined
from stages.check.schema import KEY as SCHEMA_KEY
from stages.check.schema import require_schema
from stages.core.classifier import ClassifierParams
from stages.core.errors import InputError
from stages.core.external import ExternalFeatures
from stages.core.image_set import ImageSet
from stages.core.params import (
    PARAMS_FILE,
    STAGES,
    ModelName,
    Section,
    choices,
    choose,
    declared_params,
    parse,
)
from stages.core.schedule import Schedule
from stages.core.weights import read_header

NARROWEST = 1 / 8  # width of a network: torch 2.13 corrupts its memory below
MOST_THREADS = 4096
FEWEST_IN_A_PART = 2  # images that BatchNorm needs


def _whole(value: Any) -> Any:
    """28.0 equals 28, and is no name of a branch's stage."""
    if type(value) is not int:
        raise ValueError("input should be a whole number")
    return value


Side = Annotated[Literal[28, 14, 7], BeforeValidator(_whole)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]  # a dot would part a key


class Top(Section):
    """The top level; what is a plain dict here is checked against the file that it names."""

    recipe: str | None = None
    dataset: str
    loss: str
    backbone: Settings
    classifier: ClassifierParams
    trunk: ModelName
    schedule: str
    resolutions: list[Side]
    heads: list[str]
    test_sets: list[str] = Field(min_length=1)  # dvc.yaml names the first
    seed: int = Field(ge=0, lt=1 << 63, strict=True)
    threads: int = Field(ge=1, le=MOST_THREADS, strict=True)
    device: Literal["auto", "cpu", "cuda"]
    instructions: Literal["avx2", "native"]
    datasets: dict[Name, Settings]
    benchmarks: dict[Name, Settings]
    features: dict[Name, ExternalFeatures] = {}
    losses: dict[str, Settings | None]
    schedules: dict[Name, Schedule]
    descriptors: dict[str, Settings]
    fetch: Settings
    unpack: Settings
    align: Settings
    train: Settings
    distill: Settings
    head: dict[str, Settings | None]
    extract: Settings
    evaluate: Settings
    report: Settings


STAGE_SECTIONS = ("fetch", "unpack", "align", "train", "distill", "extract", "evaluate", "report")


class Benchmark(Section):
    """What every entry of `benchmarks` has, beside the options of its protocol."""

    protocol: str
    dataset: str


def validate(params: Settings, data: bool = True) -> None:
    """Raise InputError that names the first key of `params` at fault, and the remedy.

    Args:
        data: whether the files of the training set and of imported models must be there, too.
    """
    require_schema(params)
    top = parse(Top, {key: value for key, value in params.items() if key != SCHEMA_KEY}, "")
    stages = {
        stage: parse(declared_params(STAGES / stage / "params.py"), params[stage], stage)
        for stage in STAGE_SECTIONS
    }
    for key, library, names in (
        ("evaluate.descriptors", "descriptors", stages["evaluate"].descriptors),
        ("evaluate.likelihoods", "heads", stages["evaluate"].likelihoods),
        ("report.headline", "protocols", stages["report"].headline),
    ):
        for name in names:
            choose(library, name, key)
    for name in ("train", "extract"):
        precision = stages[name].precision
        if precision != "fp32" and top.instructions == "avx2" and top.device != "cuda":
            doubt = (
                "a CPU held to AVX2 emulates it, slower than fp32; `instructions: native` is faster"
            )
            print(f"{PARAMS_FILE}: {name}.precision: {precision}: {doubt}", file=sys.stderr)
    absent = [] if data else missing_models(params)
    embedding = _validate_model(top, stages["train"], stages["distill"].freeze, absent)
    _validate_heads(top, embedding)
    if top.trunk not in absent:
        _require_centres(top)
    for name in stages["evaluate"].likelihoods:
        if not _tells_confidences(name):
            remedy = "choose heads that tell a confidence of an image"
            raise _wrong("evaluate.likelihoods", f"{name} has no likelihood score", remedy)
    for name in choices("descriptors"):
        if name not in top.descriptors:
            raise _wrong(f"descriptors.{name}", NO_SECTION, "add it; {} takes the defaults")
    for name, settings in top.descriptors.items():
        _chosen("descriptors", name, settings, f"descriptors.{name}", f"descriptors.{name}")
    read = _validate_sets(top)
    if data:
        _require_data(top)
    _require_other_people(top, read)
    _validate_benchmarks(top)
    for name, entry in top.features.items():
        _named(entry.dataset, top.test_sets, f"features.{name}.dataset", "test_sets")
        if not Path(entry.file).exists():
            problem = f"{entry.file} is not there"
            remedy = "give its path, absolute where experiments are queued, or `dvc add` it"
            fault = _wrong(f"features.{name}.file", problem, remedy)
            print(f"{fault}\n{WITHOUT_IT}", file=sys.stderr)


def _validate_model(top: Top, train: Any, freeze: str, absent: list[str]) -> int | None:
    """The embedding's length; None if the trunk is one of the models that may be `absent`."""
    for name, settings in top.losses.items():
        _chosen("losses", name, settings, f"losses.{name}", f"losses.{name}")
    margin = _chosen("losses", top.loss, top.losses.get(top.loss), "loss", f"losses.{top.loss}")
    if doubt := getattr(margin, "warning", lambda: None)():
        print(f"{PARAMS_FILE}: losses.{top.loss}: {doubt}", file=sys.stderr)
    if top.loss not in top.losses:
        raise _wrong(f"losses.{top.loss}", NO_SECTION, "add it; null takes the paper's settings")
    _named(top.schedule, top.schedules, "schedule", "schedules")
    shape = dict(top.backbone)
    network = shape.pop("name", None)
    if top.trunk == "train":
        settings = _chosen("networks", network, shape, "backbone.name", "backbone")
    elif top.trunk in absent:
        settings = None
        choose("networks", network, "backbone.name")
    else:
        settings = _imported(top.trunk, network)
    if settings and settings.embedding % top.classifier.spheres:
        raise _wrong(
            "classifier.spheres",
            f"{top.classifier.spheres} spheres do not divide an embedding of {settings.embedding}",
            "choose a divisor, or another backbone.embedding",
        )
    if settings and settings.width < NARROWEST:
        raise _wrong(
            "backbone.width",
            f"{settings.width} leaves the first stage fewer than 8 channels, which torch's strided "
            f"convolutions on the CPU do not survive",
            f"choose {NARROWEST} or more",
        )
    if top.resolutions:
        offered = defined(choose("networks", network, "backbone"))
        if "build_branch" not in offered:
            raise _wrong(
                "resolutions",
                f"{network} has no branches",
                "set it to [], or choose another backbone.name",
            )
        if freeze == "reference" and "reference_trainable" not in offered:
            raise _wrong(
                "distill.freeze",
                f"the reference's rule goes by names that {network} has not",
                "set it to strict, or choose another backbone.name",
            )
    if initial := train.initial:
        if initial in OUTPUTS:
            remedy = f"copy it: cp -r models/{initial} models/NAME, and name that"
            raise _wrong("train.initial", f"models/{initial} is what a run overwrites", remedy)
        if initial not in absent:
            _require_model("train.initial", initial, "set it to null, or import one")
    batch, parts = top.schedules[top.schedule].batch, train.accumulate
    if parts > 1 and batch < FEWEST_IN_A_PART * parts:
        problem = f"{parts} parts of a batch of {batch} leave BatchNorm a single image"
        raise _wrong("train.accumulate", problem, f"choose {batch // FEWEST_IN_A_PART} at most")
    return settings and settings.embedding


def _imported(name: str, network: str) -> Section:
    """Settings of the network in models/`name`, of the family `network`."""
    described = _network_of(_require_model("trunk", name, "set it to train, or import one"))
    there = described.pop("name")
    if there != network:
        problem = f"{name} is of {there}; stages would depend on the code of {network}"
        raise _wrong("backbone.name", problem, f"set it to {there}")
    print(
        f"{PARAMS_FILE}: trunk: models/{name} is the trunk, and `dvc repro report` trains no other",
        file=sys.stderr,
    )
    return _chosen("networks", there, described, "trunk", f"models/{name}")


def _require_model(key: str, name: str, remedy: str) -> Path:
    file = weights_of(name)
    if not file.is_file():
        raise _wrong(key, f"models/{name} holds no model", remedy)
    return file


def _network_of(file: Path) -> Settings:
    return dict(read_header(file)["network"])


def _tells_confidences(head: str) -> bool:
    return "confidences" in defined(choose("heads", head, "heads"))


def _require_centres(top: Top) -> None:
    """Branches, and heads with confidences, are trained against an imported trunk's centres."""
    folder = Path("models") / top.trunk
    if top.trunk == "train" or (folder / "classifier.safetensors").is_file():
        return
    there = [name for name in top.heads if (folder / f"heads/{name}/weights.safetensors").is_file()]
    needy = [name for name in top.heads if name not in there and _tells_confidences(name)]
    others = ", ".join(name for name in top.heads if name not in needy)
    for key, wanting, left in (("resolutions", top.resolutions, ""), ("heads", needy, others)):
        if wanting:
            problem = f"{folder} came without class centres, and {wanting} are trained against them"
            remedy = f"import them too (--classifier), or -S '{key}=[{left}]'"
            raise _wrong(key, problem, remedy)


NO_SECTION = "no such section, and dvc.yaml names it"
SHARED = "shared"  # key of the settings that all heads have, unless a head has its own


def _validate_heads(top: Top, embedding: int | None) -> None:
    shared = top.head.get(SHARED) or {}
    for name in (SHARED, *top.heads):
        if name not in top.head and name in (SHARED, *choices("heads")):
            raise _wrong(f"head.{name}", NO_SECTION, "add it; null takes the defaults")
    sections = [name for name in top.head if name != SHARED]
    for name in [*sections, *top.heads]:
        key = "heads" if name in top.heads else f"head.{name}"
        given = shared | (top.head.get(name) or {})
        settings = _chosen("heads", name, given, key, f"head.{name}")
        misfit = getattr(settings, "misfit", lambda embedding: None)
        problem = misfit(embedding) if embedding and name in top.heads else None
        if problem:
            remedy = "choose another backbone.embedding, or take the head out of `heads`"
            raise _wrong(f"head.{name}", problem, remedy)


def _validate_sets(top: Top) -> dict[str, Section]:
    """Options of the reader of each set."""
    _named(top.dataset, top.datasets, "dataset", "datasets")
    for name in top.test_sets:
        _named(name, top.datasets, "test_sets", "datasets")
    if top.dataset in top.test_sets:
        raise _wrong(
            "test_sets",
            f"{top.dataset} is the training set too",
            "split it into two entries of `datasets` that share no person",
        )
    read = {}
    for name, entry in top.datasets.items():
        key, common = f"datasets.{name}", parse(ImageSet, entry, f"datasets.{name}")
        chosen = f"{key}.format", key, ImageSet.model_fields
        read[name] = _chosen("datasets", common.format, common.options, *chosen)
        gives = constant(choose("datasets", common.format, key), "GIVES")
        if common.align == "landmarks" and "landmarks" not in gives:
            problem = f"the format {common.format} has none"
            raise _wrong(f"{key}.align", problem, "set it to detect, or to none for aligned faces")
        if name == top.dataset and "labels" not in gives:
            problem = f"{name} is of the format {common.format}, which names no classes"
            raise _wrong("dataset", problem, "choose a set with labels to train on")
        if _root(top, name) in (Path.cwd(), *Path.cwd().parents):
            raise _wrong(f"{key}.root", "this project lies in it", "name the folder of the images")
    return read


def _require_other_people(top: Top, read: dict[str, Section]) -> None:
    """Two sets of the same files share no person only as the two parts of one split.

    Args:
        read: options of the reader of each set.
    """
    ours = read[top.dataset]
    for name in top.test_sets:
        theirs, roots = read[name], {_root(top, name), _root(top, top.dataset)}
        parts = [getattr(options, "part", None) for options in (ours, theirs)]
        if len(roots) == 1 and (parts != ["train", "test"] or ours.held_out != theirs.held_out):
            problem = f"it has the files of {top.dataset}, which is trained on"
            remedy = "give it `part: test`, the training set `part: train`, both one `held_out`"
            raise _wrong(f"datasets.{name}", problem, remedy)


def _root(top: Top, name: str) -> Path:
    return Path(top.datasets[name]["root"]).resolve()


WITHOUT_IT = (
    "`dvc repro --keep-going` runs everything else, `dvc repro --single-item report` reports it"
)


def _require_data(top: Top) -> None:
    """Raise InputError if the training set's files are absent; say so of other sets."""
    for name, (root, problem, origin) in missing_data(top.datasets).items():
        remedy = origin
        if EMBEDDED not in (root, *root.parents):
            remedy += (
                f" (docs/datasets.md), or leave the set out: -S '~datasets.{name}', and take it "
                f"out of test_sets and benchmarks"
            )
        fault = InputError(root, problem, remedy, f"data set {name}")
        if name == top.dataset:
            raise fault
        print(f"{fault}\n{WITHOUT_IT}", file=sys.stderr)


def _validate_benchmarks(top: Top) -> None:
    for name, entry in top.benchmarks.items():
        key = f"benchmarks.{name}"
        common = _common(Benchmark, entry, key)
        if common.dataset not in top.test_sets:
            problem = f"{common.dataset!r} is none of {', '.join(top.test_sets)}"
            remedy = f"choose one of `test_sets`, or leave it out: -S '~{key}'"
            raise _wrong(f"{key}.dataset", problem, remedy)
        chosen = f"{key}.protocol", key, Benchmark.model_fields
        _chosen("protocols", common.protocol, _options(Benchmark, entry), *chosen)
        kind = top.datasets[common.dataset]["format"]
        needs = constant(choose("protocols", common.protocol, key), "NEEDS")
        if needs and not {*needs} & {*constant(choose("datasets", kind, key), "GIVES")}:
            problem = f"{common.protocol} needs {' or '.join(needs)}, which {kind} does not have"
            raise _wrong(f"{key}.protocol", problem, "choose another protocol, or another dataset")


def _common(model: type[Section], entry: Settings, key: str) -> Any:
    return parse(model, {k: v for k, v in entry.items() if k in model.model_fields}, key)


def _options(model: type[Section], entry: Settings) -> Settings:
    return {key: value for key, value in entry.items() if key not in model.model_fields}


def _chosen(
    library: str,
    name: str,
    settings: Settings | None,
    key: str,
    section: str,
    beside: Iterable[str] = (),
) -> Section:
    """The typed settings of a library's choice; `key` names the choice, `section` the settings,
    which stand there with the keys `beside` them."""
    declared = declared_params(choose(library, name, key))
    return parse(declared, settings or {}, section, beside=beside)


def _named(name: str, known: Iterable[str], key: str, where: str) -> None:
    if name not in known:
        raise _wrong(key, f"{name!r} is none of {', '.join(known)}", f"choose one of `{where}`")


def _wrong(key: str, problem: str, remedy: str) -> InputError:
    return InputError(PARAMS_FILE, problem, remedy, key)
