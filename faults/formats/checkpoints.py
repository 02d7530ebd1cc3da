"""Checkpoints from elsewhere (.pt, .pth), and this project's own weights (.safetensors)."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import shutil
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import torch

from faults._cases import (
    BOMBS,
    COUNTS,
    PICKLES,
    SIZES,
    TRAVERSAL,
    Calls,
    Case,
    Damage,
    Format,
    becomes,
    digest_of,
    digest_of_folder,
    hostile,
    of_bytes,
    replaced,
)
from stages.core.contract import InputContract
from stages.networks._files import WEIGHTS, load_trunk, save_network
from stages.train.import_checkpoint import main as import_checkpoint
from tests.train.published import EMBEDDING, WIDTH, centres, network, published

FAMILY, SYSTEM = "mobilefacenet", "multiface"
AIM = "linear.weight"  # of the published names, and of this project's


def make(folder: Path, name: str) -> Path:
    file = folder / name
    torch.save(state(), file, _use_new_zipfile_serialization=name.endswith(".pt"))
    return file


def state() -> dict[str, torch.Tensor]:
    return published(network(FAMILY)) | {"kernel": centres().T.contiguous()}


def read(name: str) -> str:
    """Import it, as the command does."""
    folder = Path("models/imported")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            import_checkpoint(name, SYSTEM, [], folder.name)
        tensors = load_trunk(folder).network.state_dict()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return digest_of({name: tensor.numpy() for name, tensor in tensors.items()})


def saved(file: Path, content: Any, **how: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=file.suffix == ".pt", **how)
    return buffer.getvalue()


def cases(file: Path, draw: Random) -> Iterator[Case]:
    whole = state()
    make_bytes = partial(saved, file)
    aim = whole[AIM]

    def with_aim(value: Any) -> Damage:
        return becomes(make_bytes(whole | {AIM: value}))

    for name, value in {
        "a row less": aim[:-1],
        "a column more": torch.cat([aim, aim[:, :1]], 1),
        "no rows": aim[:0],
        "a scalar": torch.tensor(1.0),
        "no tensor": 3,
        "integers": aim.long(),
        "NaN": aim * torch.nan,
        "infinity": aim / 0,
        "sparse": aim.to_sparse(),
        "complex": aim.to(torch.complex64),
        "quantised": torch.quantize_per_tensor(aim, 0.1, 0, torch.qint8),
    }.items():
        yield Case(COUNTS, name, with_aim(value))
    less = {name: tensor for name, tensor in whole.items() if name != AIM}
    yield Case(COUNTS, "a tensor less", becomes(make_bytes(less)))
    for name in (f"{AIM}_mask", "linear.lora_A", "conv1.se.fc1.weight", "conv_5.model.9.bias"):
        yield Case(COUNTS, f"one more, {name}", becomes(make_bytes(whole | {name: aim})))
    for protocol in (3, 4, 5):
        content = becomes(make_bytes(whole, pickle_protocol=protocol))
        yield Case(COUNTS, f"pickle protocol {protocol}", content, harmless=True)
    yield Case(COUNTS, "nothing", becomes(make_bytes({})))
    yield Case(COUNTS, "a list", becomes(make_bytes(list(whole.values()))))
    for name, value in {
        "a tensor of terabytes over four bytes": torch.ones(1).expand(10**6, 10**6),
        "a negative stride's worth": torch.ones(2).as_strided((10**9,), (0,)),
        "an embedding of a million": torch.ones(1).expand(10**6, aim.shape[1]),
    }.items():
        yield Case(SIZES, name, with_aim(value))
    for path in ("../../../tmp/x", "/etc/passwd", "a/../../b"):
        extra = becomes(make_bytes(whole | {path: torch.ones(1)}))
        yield Case(TRAVERSAL, f"a tensor named {path}", extra, harmless=True)
    for runs in hostile():
        yield Case(PICKLES, "hostile beside the weights", becomes(make_bytes(whole | {"x": runs})))
        yield Case(PICKLES, "hostile for a tensor", with_aim(runs))
    for calls in (Calls(torch.load, "x.pth"), Calls(torch.hub.load_state_dict_from_url, "x")):
        content = becomes(make_bytes(whole | {"x": calls}))
        yield Case(PICKLES, f"{calls.call[0].__name__} beside", content, harmless=True)
    for name, runs in {
        "bytearray of 4 GiB": Calls(bytearray, 1 << 32),
        "bytearray of 2**62": Calls(bytearray, 1 << 62),
    }.items():
        yield Case(BOMBS, name, becomes(make_bytes(whole | {"x": runs})))
    nested: Any = {}
    for _ in range(400):
        nested = {"a": nested}
    yield Case(BOMBS, "mappings 400 deep", becomes(make_bytes(nested)))
    key: Any = ()
    for _ in range(60):
        key = (key, key)
    keyed = becomes(make_bytes(whole | {"x": Calls(OrderedDict, [[key, 1]])}))
    yield Case(BOMBS, "a key that takes years to hash", keyed, harmless=True)
    yield from (zip_cases if file.suffix == ".pt" else legacy_cases)(whole, make_bytes)


def zip_cases(whole: dict[str, Any], make_bytes: Any) -> Iterator[Case]:
    content = make_bytes(whole)
    for name in ("../../../tmp/x", "/etc/passwd"):
        yield Case(
            TRAVERSAL, f"an entry {name}", of_bytes(partial(with_entry, name=name)), harmless=True
        )
    yield Case(SIZES, "an entry of 4 GiB", of_bytes(entry_of_4_gib))
    bomb = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.infolist():
            large = bytes(1 << 28) if entry.filename.endswith("data/0") else old.read(entry)
            new.writestr(entry.filename, large)
    yield Case(BOMBS, "a tensor of 256 MiB in 256 KiB", becomes(bomb.getvalue()))
    with zipfile.ZipFile(io.BytesIO(content)) as old:
        folder = old.namelist()[0].split("/")[0]
        parts = {name: old.read(name) for name in old.namelist()}
    for number, runs in enumerate(hostile()):
        pickled = io.BytesIO()
        with zipfile.ZipFile(pickled, "w") as new:
            for name, part in (parts | {f"{folder}/data.pkl": pickle.dumps(runs, 2)}).items():
                new.writestr(name, part)
        yield Case(PICKLES, f"hostile data.pkl {number}", becomes(pickled.getvalue()))
    numbers = replaced(b"K" + bytes([EMBEDDING]), b"K\xff", 3)
    repaired = of_bytes(lambda old: again(old, numbers_of(numbers)))
    yield Case(SIZES, "a shape of 255 rows", repaired)


def numbers_of(damage: Damage) -> Any:
    def change(content: bytes) -> bytes:
        place = Path("scratch.bin")
        place.write_bytes(content)
        damage(place)
        made = place.read_bytes()
        place.unlink()
        return made

    return change


def again(content: bytes, change: Any) -> bytes:
    """The archive with another data.pkl, and checksums that fit."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            part = old.read(name)
            new.writestr(name, change(part) if name.endswith("data.pkl") else part)
    return made.getvalue()


def with_entry(content: bytes, name: str) -> bytes:
    made = io.BytesIO(content)
    with zipfile.ZipFile(made, "a") as archive:
        archive.writestr(name, b"x")
    return made.getvalue()


def entry_of_4_gib(content: bytes) -> bytes:
    at = content.index(b"PK\x01\x02")
    return content[: at + 20] + b"\xfe\xff\xff\xff" * 2 + content[at + 28 :]


def legacy_cases(whole: dict[str, Any], make_bytes: Any) -> Iterator[Case]:
    content = make_bytes(whole)
    aim = whole[AIM].numel()
    count = b"K" + bytes([aim]) if aim < 256 else b"M" + struct.pack("<H", aim)
    huge = b"\x8a\x06" + struct.pack("<Q", 1 << 40)[:6]
    yield Case(SIZES, "a storage of 2**40 numbers", becomes(content.replace(count, huge)))
    yield Case(
        SIZES, "a storage of 2**31 - 1", becomes(content.replace(count, b"J\xff\xff\xff\x7f"))
    )
    yield Case(COUNTS, "bytes after the end", of_bytes(lambda old: old + bytes(100)), harmless=True)


def make_weights(folder: Path) -> Path:
    made = network(FAMILY)
    described = {"name": FAMILY, "width": WIDTH, "embedding": EMBEDDING}
    save_network(folder / "model", made, described, InputContract(embedding=EMBEDDING), classes=3)
    return folder / "model" / WEIGHTS


def read_weights() -> str:
    loaded = load_trunk(Path("model"))
    tensors = {name: tensor.numpy() for name, tensor in loaded.network.state_dict().items()}
    return digest_of(tensors, loaded.contract.as_dict(), digest_of_folder(Path("nowhere")))


def split(content: bytes) -> tuple[dict[str, Any], bytes]:
    length = struct.unpack_from("<Q", content)[0]
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def joined(header: Any, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def weight_cases(file: Path, draw: Random) -> Iterator[Case]:
    header, data = split(file.read_bytes())
    key = AIM
    entry = header[key]

    def told(**changed: Any) -> Damage:
        return becomes(joined(header | {key: entry | changed}, data))

    def ours(change: dict[str, Any]) -> Damage:
        own = json.loads(header["__metadata__"]["faceline"])
        return becomes(
            joined(header | {"__metadata__": {"faceline": json.dumps(own | change)}}, data)
        )

    for shape in ([], [0], [10**18, 10**18], [-1], [3], "x"):
        yield Case(COUNTS, f"a shape of {shape}", told(shape=shape))
    for kind in ("F64", "I8", "X9", None):
        yield Case(COUNTS, f"numbers of {kind}", told(dtype=kind))
    less = {name: value for name, value in header.items() if name != key}
    yield Case(COUNTS, "a tensor less", becomes(joined(less, data)))
    for place in ([0, 1 << 62], [5, 1], [-1, 4], [0], "x", [1 << 62, (1 << 62) + 4]):
        yield Case(SIZES, f"bytes {place}", told(data_offsets=place))
    for size in (1 << 62, (1 << 64) - 1, 10**9, 0, 7):
        yield Case(
            SIZES, f"a header of {size}", becomes(struct.pack("<Q", size) + file.read_bytes()[8:])
        )
    for name in ("../../x", "/etc/passwd"):
        more = {name: {"dtype": "F32", "shape": [0], "data_offsets": [len(data), len(data)]}}
        yield Case(TRAVERSAL, f"a tensor {name}", becomes(joined(header | more, data)))
    for name in ("../../stages/core/errors", "os", "_files", ""):
        network = {"name": name, "width": WIDTH, "embedding": EMBEDDING}
        yield Case(TRAVERSAL, f"a network {name!r}", ours({"network": network}))
    for name, change in {
        "no network": {"network": None}, "a network of text": {"network": "x"},
        "a network without a name": {"network": {}},
        "an unknown setting": {"network": {"name": FAMILY, "depht": 3}},
        "no contract": {"contract": None}, "an unknown contract": {"contract": {"colours": 3}},
    }.items():  # fmt: skip
        yield Case(COUNTS, name, ours(change))
    for number, runs in enumerate(hostile()):
        text = pickle.dumps(runs, 0).decode("latin1")
        yield Case(PICKLES, f"pickle {number} for a network", ours({"network": {"name": text}}))
        meta = becomes(joined(header | {"__metadata__": {"faceline": text}}, data))
        yield Case(PICKLES, f"pickle {number} for a header", meta)
    large = {"name": FAMILY, "width": 4096, "embedding": 1 << 20}
    yield Case(BOMBS, "a network of terabytes", ours({"network": large}))
    yield Case(BOMBS, "a million brackets", becomes(joined(b"[" * 10**6, data)))
    yield Case(
        BOMBS, "a header of eight megabytes of spaces", becomes(joined(b" " * (8 << 20), data))
    )
    deep = "[" * 10**6 + "]" * 10**6
    wrong = {"__metadata__": {"faceline": deep}}
    yield Case(BOMBS, "a million brackets in ours", becomes(joined(header | wrong, data)))


FORMATS = (
    Format("checkpoint .pt (ZIP)", partial(make, name="model.pt"), partial(read, "model.pt"),
           cases, ()),
    Format("checkpoint .pth (old form)", partial(make, name="model.pth"),
           partial(read, "model.pth"), cases),
    Format("weights .safetensors", make_weights, read_weights, weight_cases),
)  # fmt: skip
