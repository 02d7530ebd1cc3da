"""A head that came with its trunk is not trained, and is extracted like one that was."""

from __future__ import annotations

from pathlib import Path

import torch
import yaml

from stages.core.files import atomic_folder
from stages.core.weights import load_weights
from stages.datasets._store import ImageSetWriter
from stages.extract.head import load_head
from stages.head.__main__ import main
from stages.heads import coreset
from stages.networks._files import require_trunk
from stages.train import import_checkpoint
from tests.datasets.samples import png
from tests.train.published import EMBEDDING, network, published, save


def test_it_is_taken_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    head = coreset.build(coreset.Params(epochs=0, batch=2, lr=1), None, EMBEDDING)
    head.gamma.data.fill_(0.11)
    state = published(network("ir", depth=18), "model.")
    state |= {f"aggregate.{name}": tensor for name, tensor in head.state_dict().items()}
    import_checkpoint.main(save(tmp_path / "a.ckpt", {"state_dict": state}), "coreset", [], "set")
    with atomic_folder("data/align/faces") as folder, ImageSetWriter(folder, 4, folder) as writer:
        for number in range(4):
            writer.add(png(number, 112, 112), f"record {number}", number // 2)
    params = {
        "dataset": "faces",
        "trunk": "set",
        "seed": 0,
        "threads": 1,
        "device": "cpu",
        "instructions": "avx2",
    }
    trained = {"epochs": 3, "batch": 2, "lr": 0.1}
    params |= {"head": {"shared": trained, "coreset": {"points": 7}}}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    main("coreset")
    stored = Path("models/head/coreset")
    _, again, header = load_head(stored, torch.device("cpu"))
    require_trunk(stored, header, Path("models/set"))
    learnt = header["contract"]["training_data"]
    assert learnt.startswith("imported: a.ckpt")
    assert "faces" not in learnt
    assert again.points == coreset.Params(epochs=0, batch=2, lr=1).points
    tensors, _ = load_weights(stored / "weights.safetensors")
    for name, tensor in head.state_dict().items():
        torch.testing.assert_close(tensors[name], tensor, rtol=0, atol=0)
