"""Tensors of a checkpoint that belong to the network and that this project's network lacks.

A network imported without them is another network, so they end the import. What does not change
the embedding may lie beside it: heads, optimisers, counters, moving averages.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

from torch import Tensor

from stages.core.errors import InputError
from stages.train.import_files import Checkpoint

EXAMPLES = 3
AVERAGE = re.compile(  # of the weights over the steps of a training
    r"(?<![A-Za-z])ema(?![a-z])|EMA|shadow|polyak|(?<![A-Za-z])swa(?![a-z])"
    r"|(?<![A-Za-z])(averaged?|avg)_?(model|network|net|weights|params)|(model|weights?)_(avg|averaged?)",
)
HEAD = re.compile(  # a component of a name outside the network's own modules
    r"(.*_)?(heads?|kernel|classifiers?|cls(_score)?|logits?|margins?|metrics?|loss(es)?"
    r"|criterion|arc_?face|cos_?face|sphere_?face|mag_?face|ada_?face|curricular_?face|am_?softmax"
    r"|soft_?max|partial_?fc|.*product|centers?|centres?|proxies|prototypes|fc[7-9]"
    r"|fc_?(cls|class|id)|para\d+|optimi[sz]ers?|opt|schedulers?|scalers?|queue|aux|auxiliary"
    r"|decoder|discriminator|generator|uncertainty|kappa|quality|aggregate)(_.*)?"
    r"|.*(loss|softmax|head)",
    re.IGNORECASE,
)
BARE = re.compile(r"W|t|m|s|h|weight(_mom|_index|_activated.*)?|bias|batch_mean|batch_std")
BETWEEN = re.compile(  # image and embedding, or embedding and classes
    r"(^|\.)(\w*_?neck|projector|projection|proj|stn|localization|fc_loc|prompts?|pool(ing)?|gem"
    r"|attn|attention)(\.|$)"
)
STATISTIC = re.compile(r"(.*\.)?[^.]+\.running_(?:mean|var)")  # of a BatchNorm beside the network
TRAINING = re.compile(r"(^|[._])(grads?|gradients?|momentum\w*|exp_avg\w*|optim)([._]|$)")


class Hint(NamedTuple):
    """What tensors of such names are, and what to do with the file."""

    pattern: re.Pattern[str]
    what: str
    remedy: str


def _hint(pattern: str, what: str, remedy: str) -> Hint:
    return Hint(re.compile(pattern, re.IGNORECASE), what, remedy)


ADAPTERS = _hint(
    r"lora|adapter|peft|ssf_(scale|shift)|(^|[._])ia3|hada_w|lokr_|dora_|boft|oft_|base_layer|magnitude_vector|vera_|prompt_",
    "adapters (such as LoRA) beside the weights that they change",
    "merge them into the weights with the code that trained them (PEFT: "
    "`model.merge_and_unload()`; else W + B A times its scale), and save the merged state dict",
)
QUANTISED = _hint(
    r"zero_point|(^|\.|weight_|input_|act_|activation_|output_)scales?$|packed_params|fake_quant|observer|activation_post_process"
    r"|quant|qweight|absmax|SCB$",
    "a quantised network",
    "pass the weights from before it was quantised",
)
HINTS = (
    ADAPTERS,
    _hint(
        r"weight_mask|bias_mask",
        "masks of pruning",
        '`torch.nn.utils.prune.remove(module, "weight")` for each pruned module, and save the '
        "state dict again",
    ),
    _hint(
        r"weight_orig|weight_u$|spectral",
        "a reparametrisation of the weights (spectral normalisation or pruning)",
        "`torch.nn.utils.remove_spectral_norm(module)` or `prune.remove` for each such module, "
        "and save the state dict again",
    ),
    _hint(
        r"weight_[gv]$|parametrizations\.",
        "a reparametrisation of the weights (such as weight normalisation)",
        '`torch.nn.utils.parametrize.remove_parametrizations(module, "weight")`, or '
        "`torch.nn.utils.remove_weight_norm(module)`, for each such module, and save the state "
        "dict again",
    ),
    QUANTISED,
    _hint(
        r"(^|[._])(se|sem|ca|sa|cbam|eca|bam|gct|gc|senet|se_module|se_layer|simam|coordatt"
        r"|attn\w*|att\w*|channel_?att\w*|spatial_?att\w*|channel_?gate|spatial_?gate|non_?local"
        r"|squeeze\w*|excit\w*|gate|conv1d|qkv)\d*[._]|\.fc[12]\.|\.se\.",
        "attention within the blocks (squeeze-and-excitation, CBAM, ECA)",
        "check --as: ir_se (--as multiface) and scf_resnet (--as scf) have squeeze-and-excitation, "
        "and no family has another attention",
    ),
)
LAST_NORM = Hint(
    re.compile(r"output_layer\.4\.(weight|bias)"),
    "scale and shift of the last BatchNorm, which this system's networks lack",
    "check --as; where it is right, fold the two into the layer before, as docs/checkpoints.md "
    "shows",
)
ANY = re.compile("")
BLOCK = re.compile(r"((?:layer|stage)\d+|body|blocks)\.(\d+)\.")
CONV_BIAS = re.compile(
    r"(conv\d?|downsample\.0|shortcut_layer\.0|res_layer\.\d|input_layer\.0)\.bias"
)


def is_average(name: str) -> bool:
    """Whether this is the name or prefix of a moving average of the weights."""
    return AVERAGE.search(name) is not None


def require_no_adapters(file: Checkpoint) -> None:
    """Raise InputError if there are adapters anywhere: they change the weights they lie beside."""
    found = [n for n in file.tensors if ADAPTERS.pattern.search(n) and not is_average(n)]
    if found:
        raise _refused(file, found, ADAPTERS)


def require_no_strangers(
    file: Checkpoint,
    prefix: str,
    names: Collection[str],
    family: str,
    embedding: int | None = None,
    beside: tuple[str, ...] = (),
    copies: tuple[str, ...] = (),
) -> None:
    """Raise InputError if the file holds more of the network than its tensors.

    Args:
        prefix: what stands before the network's tensors.
        names: published names of the network's tensors, without the prefix.
        family: name of the network's family.
        embedding: its dimensions; None where only the network's own modules are looked at.
        beside: longer prefixes, of further copies of the network.
        copies: prefixes of all further copies.
    """
    own = {name.partition(".")[0] for name in names}
    inner = {name.rpartition(".")[0] for name in names if name.count(".") > 1}
    strangers = []
    others: dict[str, dict[str, Tensor]] = {}
    for name, leaf in {**file.tensors, **file.opaque}.items():
        rest = name.removeprefix(prefix)
        if not name.startswith(prefix):
            is_odd = (
                BETWEEN.search(name)
                or _is_within(name, inner)
                or _is_norm_beside(name, prefix, leaf, embedding)
            )
            if embedding and is_odd and isinstance(leaf, Tensor) and not name.startswith(copies):
                is_else = is_average(name) or _is_head(rest) or TRAINING.search(name)
                strangers += [] if is_else else [name]
        elif (beside and name.startswith(beside)) or (rest in names and isinstance(leaf, Tensor)):
            continue
        elif (module := rest.partition(".")[0]) in own:
            is_copy = is_average(rest) and _stem(rest) in names
            strangers += [] if is_copy or rest == module else [name]
        elif embedding and isinstance(leaf, Tensor) and not (is_average(rest) or _is_head(rest)):
            others.setdefault(module, {})[name] = leaf
    for tensors in others.values():
        if embedding and not _is_classifier(tensors, embedding):
            strangers += tensors
    if strangers:
        rests = [name.removeprefix(prefix) for name in strangers]
        is_quantised = any(_is_quantised(file, name) for name in strangers)
        hint = QUANTISED if is_quantised else _explained(rests, names, family)
        raise _refused(file, strangers, hint)


def absent(file: Checkpoint, name: str) -> InputError | None:
    """What to say of a tensor of the network in whose place the file has something else."""
    if name in file.opaque:
        remedy = QUANTISED.remedy if _is_quantised(file, name) else "save plain tensors"
        return InputError(file.path, f"is {file.opaque[name]}, not a plain tensor", remedy, name)
    module = name.removesuffix("weight")
    near = [other for other in (*file.tensors, *file.opaque) if other.startswith(module)]
    hint = _known([other.removeprefix(module) for other in near])
    if hint is None:
        return None
    found = [other for other in near if hint.pattern.search(other.removeprefix(module))]
    return _refused(file, found, hint)


def _is_within(name: str, modules: Collection[str]) -> bool:
    """Whether a name outside the network has the path of one of its inner modules within it."""
    parts = name.split(".")
    return any(
        ".".join(parts[start:stop]) in modules
        for start in range(len(parts))
        for stop in range(start + 2, len(parts))
    )


def _is_norm_beside(name: str, prefix: str, leaf: Tensor | str, embedding: int | None) -> bool:
    """Whether this is a statistic of a BatchNorm of the embedding, beside the network."""
    match = STATISTIC.fullmatch(name)
    is_beside = match is not None and prefix.startswith(match[1] or "")
    return is_beside and getattr(leaf, "shape", None) == (embedding,)


def _is_quantised(file: Checkpoint, name: str) -> bool:
    return "quantised" in file.opaque.get(name, "")


def _is_head(rest: str) -> bool:
    """Whether a name outside the network's own modules is a head's or a training's."""
    return bool(BARE.fullmatch(rest)) or any(HEAD.fullmatch(part) for part in rest.split("."))


def _is_classifier(tensors: dict[str, Tensor], embedding: int) -> bool:
    """One matrix of classes by dimensions, or the reverse, and its bias; or only counters."""
    found = [t for t in tensors.values() if t.is_floating_point() and t.numel() > 1]
    matrices = [tensor for tensor in found if tensor.ndim == 2]
    if BETWEEN.search(next(iter(tensors))):
        return False
    if not found:
        return True
    if len(matrices) != 1:
        return False
    classes = max(matrices[0].shape)
    is_wide = min(matrices[0].shape) == embedding < classes
    return is_wide and all(t.ndim == 2 or t.shape == (classes,) for t in found)


def _stem(name: str) -> str:
    return re.sub(r"[._](ema|shadow|swa|avg|averaged?)$", "", name)


def _refused(file: Checkpoint, names: list[str], hint: Hint) -> InputError:
    some = [f"{name} ({file.opaque[name]})" if name in file.opaque else name for name in names]
    examples = ", ".join(some[:EXAMPLES]) + (", .." if len(some) > EXAMPLES else "")
    change = "1 tensor that changes" if len(names) == 1 else f"{len(names)} tensors that change"
    return InputError(
        file.path,
        f"holds {change} its network and would be left out ({examples}), perhaps {hint.what}",
        hint.remedy,
    )


def _explained(names: list[str], known: Collection[str], family: str) -> Hint:
    if hint := _known(names):
        return hint
    if all(LAST_NORM.pattern.fullmatch(name) for name in names):
        return LAST_NORM
    if deeper := _deeper(names, known):
        return Hint(
            BLOCK,
            f"more blocks than any {family} here has ({deeper})",
            "check --as, and that the network is of a published depth",
        )
    if all(CONV_BIAS.search(name) for name in names):
        return Hint(
            CONV_BIAS,
            "biases of convolutions, which no network here has",
            "check --as; if its BatchNorms were merged into the convolutions, pass the weights "
            "from before",
        )
    return Hint(
        ANY,
        "parts of another architecture",
        "check --as; if they take no part in the embedding, save the network's state dict "
        "without them",
    )


def _known(names: Iterable[str]) -> Hint | None:
    return next((h for h in HINTS if any(h.pattern.search(name) for name in names)), None)


def _deeper(names: list[str], known: Collection[str]) -> str | None:
    """Number of blocks there and here of the first stage that has more in the file."""
    here, there = _blocks(known), _blocks(names)
    for stage, last in there.items():
        if stage in here and last > here[stage]:
            return f"{stage} has {last + 1} blocks, and {here[stage] + 1} in the nearest one"
    return None


def _blocks(names: Iterable[str]) -> dict[str, int]:
    """The last block's number of each stage."""
    last: dict[str, int] = {}
    for name in names:
        if match := BLOCK.match(name):
            last[match[1]] = max(last.get(match[1], 0), int(match[2]))
    return last
