"""Curves of the trainings: which pictures there are, what their words and lines say."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.core.errors import InputError
from stages.report import training
from stages.report.training import training_pictures
from tests.report.synthetic import write_training

PARAMS = {"trunk": "train", "resolutions": [28, 7], "heads": ["scf", "pfe_g"]}


@pytest.fixture
def metrics(tmp_path) -> Path:
    write_training(tmp_path, "train", norm=[3.0, 4.0], cosine=[0.1, 0.5], loss=[8.0, 4.0])
    write_training(tmp_path, "distill/28", loss=[6.0, 3.0, 1.5])
    write_training(tmp_path, "distill/7", loss=[9.0, 5.0], feature=[3.0, 1.0])
    write_training(tmp_path, "head/scf", loss=[2009.775528, 349.4])
    return tmp_path / "metrics"


@pytest.fixture
def drawn(monkeypatch) -> list:
    """The figures that are drawn, as they are drawn."""
    figures = []
    draw = training._draw

    def kept(curves):
        figures.append(draw(curves))
        return figures[-1]

    monkeypatch.setattr(training, "_draw", kept)
    return figures


def test_a_picture_for_trunk_branches_and_each_head_with_curves(metrics) -> None:
    found = training_pictures(PARAMS, metrics)
    assert list(found) == ["training_trunk", "training_branches", "training_head_scf"]
    said = "trunk: loss 8 to 4, cosine 0.1 to 0.5, norm 3 to 4."
    assert found["training_trunk"].alt.endswith(said)
    said = "28 px: loss 6 to 1.5; 7 px: loss 9 to 5, feature 3 to 1."
    assert found["training_branches"].alt.endswith(said)
    assert found["training_head_scf"].title == "Training of the head scf"


def test_a_panel_for_each_metric_and_a_line_for_each_branch(metrics, drawn) -> None:
    training_pictures(PARAMS | {"heads": []}, metrics)
    loss, feature = drawn[1].axes
    assert [line.get_label() for line in loss.lines] == ["28 px", "7 px"]
    assert [list(line.get_xdata()) for line in loss.lines] == [[1, 2, 3], [1, 2]]
    assert [list(line.get_ydata()) for line in loss.lines] == [[6.0, 3.0, 1.5], [9.0, 5.0]]
    assert [line.get_label() for line in feature.lines] == ["7 px"]


def test_what_is_not_in_the_lists_is_not_shown(metrics) -> None:
    params = {"trunk": "published", "resolutions": [7], "heads": []}
    found = training_pictures(params, metrics)
    assert list(found) == ["training_branches"]
    assert "28 px" not in found["training_branches"].alt


def test_equal_curves_give_equal_bytes(metrics) -> None:
    first, second = (training_pictures(PARAMS, metrics) for _ in range(2))
    assert first == second


def test_a_file_with_other_columns_is_refused(metrics) -> None:
    (metrics / "train/plots/metrics/loss.tsv").write_text("epoch\tloss\n0\t1\n")
    with pytest.raises(InputError, match=r"loss\.tsv: its columns are epoch, loss, not step, loss"):
        training_pictures(PARAMS, metrics)
