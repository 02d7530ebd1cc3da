"""Headers of model files carry their schema; a newer one is refused, an unnumbered one is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from stages.core.errors import InputError
from stages.core.weights import HEADER, SCHEMA, load_weights, read_header, save_weights

TENSORS = {"a": torch.arange(3.0)}


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "weights.safetensors"


def stored(file: Path) -> dict:
    with safe_open(file, framework="numpy") as opened:
        return json.loads(opened.metadata()[HEADER])


def store(file: Path, header: dict) -> None:
    save_file(TENSORS, file, metadata={HEADER: json.dumps(header)})


def test_the_schema_is_written_and_left_out_when_read(file) -> None:
    save_weights(file, TENSORS, {"network": "x"})
    assert stored(file) == {"network": "x", "schema": SCHEMA}
    tensors, header = load_weights(file)
    assert header == {"network": "x"}
    assert torch.equal(tensors["a"], TENSORS["a"])


def test_a_header_from_before_schemas_is_read_as_it_is(file) -> None:
    store(file, {"network": "x"})
    assert read_header(file) == {"network": "x"}


@pytest.mark.parametrize("schema", [SCHEMA + 1, 0, "1", True, None])
def test_a_header_of_another_schema_is_refused(file, schema) -> None:
    store(file, {"network": "x", "schema": schema})
    with pytest.raises(InputError, match=rf"schema: its header has schema {schema!r}.*update"):
        load_weights(file)
