"""Class centres in checkpoints: of one process or many ranks, of one sphere or several."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from stages.core.errors import InputError
from stages.train.import_files import Checkpoint
from stages.train.import_systems import Centres, System

RANK = re.compile(r"(?:gpu|rank)_(\d+)(?!.*(?:gpu|rank)_\d)")  # the last; gpu8 is their number
LAST_NUMBER = re.compile(r"(\d+)\D*$")


class Classes(NamedTuple):
    """A classifier.

    Attributes:
        tensors: `centres` [C, E], and the margin's running statistics.
        spheres: parts that the embedding is cut into.
        used: names of the tensors that are in it, by file.
        report: a line a tensor.
    """

    tensors: dict[str, Tensor]
    spheres: int
    used: dict[Path, set[str]]
    report: list[str]


class _Part(NamedTuple):
    centres: Tensor
    spheres: int
    names: list[str]


def holds_centres(file: Checkpoint, system: System, network: set[str]) -> bool:
    """Whether tensors outside `network` are named like class centres, and it is plain which."""
    found = ((form, _matches(file, form, network)) for form in system.centres)
    return any(len(names) == 1 or (names and "*" in form.name) for form, names in found)


def read_classes(
    files: list[Checkpoint],
    system: System,
    embedding: int,
    network: set[str],
    spheres: int | None = None,
) -> Classes:
    """The class centres in `files`, for an embedding of that many dimensions.

    Args:
        files: one, or one of each rank.
        network: names of the tensors of the network, in a file that holds them all.
        spheres: where one tensor holds them all; None is 1.

    Raises:
        InputError: there are none, they do not fit, or the files are not those of ranks 0, 1, ..
    """
    forms = [form for form in system.centres if form.shards or len(files) == 1]
    if len(files) > 1 and not forms:
        raise InputError(
            files[1].path, "is one file too many: this system has no shards", "pass one file"
        )
    files = _by_rank(files)
    parts = [_part(file, forms, embedding, network, spheres) for file in files]
    _require_shares(files, [len(part.centres) for part in parts])
    report = [
        f"centres <- {file.path.name}: {' '.join(part.names)} as {list(part.centres.shape)}"
        for file, part in zip(files, parts, strict=True)
    ]
    used = {file.path: set(part.names) for file, part in zip(files, parts, strict=True)}
    tensors = {"centres": torch.cat([part.centres for part in parts])}
    for theirs, ours in system.margin.items():
        values = []
        for file in files:
            found = _statistic(file, theirs)
            used[file.path] |= found.keys()
            values += [value for value in found.values() if value.isfinite()]
        if values:
            tensors[ours] = torch.stack(values).mean(0)
        said = f"{tensors[ours]:.6g}, mean of {len(values)}" if values else "absent, starts anew"
        report.append(f"{ours} <- {theirs}: {said}")
    return Classes(tensors, parts[0].spheres, used, report)


def _by_rank(files: list[Checkpoint]) -> list[Checkpoint]:
    """In the order of the ranks in their names, whole numbers: gpu_10 comes after gpu_9."""
    pattern = RANK if len(files) == 1 else LAST_NUMBER
    ranks: dict[int, Checkpoint] = {}
    for file in files:
        number = RANK.search(file.path.stem) or pattern.search(file.path.stem)
        if number is None and len(files) == 1:
            return files
        if number is None:
            raise InputError(file.path, "has no rank in its name", "name it .._gpu_RANK.pt")
        if int(number[1]) in ranks:
            raise InputError(
                file.path,
                f"is rank {int(number[1])}, and so is {ranks[int(number[1])].path.name}",
                "pass one file a rank",
            )
        ranks[int(number[1])] = file
    for rank in range(len(ranks)):
        if rank not in ranks:
            raise InputError(
                files[0].path.parent,
                f"no file of rank {rank} among ranks {', '.join(map(str, sorted(ranks)))}",
                "pass the files of all ranks, from 0 on",
            )
    return [ranks[rank] for rank in sorted(ranks)]


def _require_shares(files: list[Checkpoint], sizes: list[int]) -> None:
    """Ranks share classes evenly, the first ones have the odd ones."""
    if sizes != sorted(sizes, reverse=True) or max(sizes) > min(sizes) + 1:
        raise InputError(
            files[0].path.parent,
            f"ranks have {', '.join(map(str, sizes))} classes, which no even share gives",
            "pass the files of one training run",
        )


def _part(
    file: Checkpoint,
    forms: list[Centres],
    embedding: int,
    network: set[str],
    spheres: int | None,
) -> _Part:
    seen = []
    for form in forms:
        names = _matches(file, form, network)
        if not names:
            continue
        found = [file.tensors[name] for name in names]
        by_sphere = "*" in form.name
        if len(found) > 1 and not by_sphere:
            raise InputError(
                file.path,
                f"several tensors may be the class centres: {', '.join(names)}",
                "save the one you mean in a file of its own",
            )
        seen.append(
            " ".join(f"{name} {list(t.shape)}" for name, t in zip(names, found, strict=True))
        )
        if any(tensor.ndim != 2 for tensor in found):
            continue
        if form.columns:
            found = [tensor.T for tensor in found]
        if len({len(tensor) for tensor in found}) == 1:
            centres = torch.cat(found, dim=1).float()
            count = len(found) if by_sphere else spheres or 1
            if centres.shape[1] == embedding and spheres in (None, count):
                return _checked(file, _Part(centres, count, names))
    raise _nothing_fits(file, forms, seen, embedding, spheres)


def _checked(file: Checkpoint, part: _Part) -> _Part:
    if not part.centres.isfinite().all():
        raise InputError(file.path, "holds NaN or infinity", "download it again", part.names[0])
    if part.spheres < 1 or part.centres.shape[1] % part.spheres:
        dimensions = part.centres.shape[1]
        problem = f"{part.spheres} spheres do not divide an embedding of {dimensions}"
        raise InputError(file.path, problem, "give another number by --spheres")
    return part


def _nothing_fits(
    file: Checkpoint,
    forms: list[Centres],
    seen: list[str],
    embedding: int,
    spheres: int | None,
) -> InputError:
    if not seen:
        names = ", ".join(dict.fromkeys(form.name for form in forms)) or "none of this system"
        return InputError(
            file.path, f"holds no class centres (looked for: {names})", "pass another file"
        )
    of_spheres = "" if spheres is None else f" of {spheres} spheres"
    return InputError(
        file.path,
        f"its class centres, {' or '.join(seen)}, do not fit an embedding of {embedding}"
        f"{of_spheres}",
        "pass the classifier that was trained with this network",
    )


def _matches(file: Checkpoint, form: Centres, network: set[str]) -> list[str]:
    """Names of the tensors of that form, in the order of their spheres."""
    if network <= file.tensors.keys():
        outside = [name for name in file.tensors if name not in network]
    else:
        outside = list(file.tensors)
    pattern = re.compile(r"(?:.*\.)?" + re.escape(form.name).replace(r"\*", r"(\d+)"))
    found = {name: pattern.fullmatch(name) for name in outside}
    names = [name for name, match in found.items() if match]
    if "*" in form.name:
        names.sort(key=lambda name: int(found[name][1]))
        if [int(found[name][1]) for name in names] != list(range(len(names))):
            raise InputError(
                file.path, f"a sphere is missing or double: {', '.join(names)}", "download it again"
            )
    return names


def _statistic(file: Checkpoint, name: str) -> dict[str, Tensor]:
    """The number of that name; NaN on a rank that saw no sample of its own classes."""
    return {
        full: tensor.float().reshape(())
        for full, tensor in file.tensors.items()
        if (full == name or full.endswith(f".{name}")) and tensor.numel() == 1
    }
