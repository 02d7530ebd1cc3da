"""Class centres of a trunk, trained here or imported, under the margin that a branch learns by."""

from __future__ import annotations

import pytest
import torch

from stages.core.errors import InputError
from stages.core.weights import save_weights
from stages.distill.__main__ import _fixed
from stages.losses import adaface, arcface, curricularface
from stages.losses._classifier import Classifier
from stages.networks._files import CENTRES


def classifier(margins, classes: int = 7, spheres: int = 1) -> Classifier:
    return Classifier(12, classes, margins.build(margins.Params()), spheres=spheres)


@pytest.mark.parametrize("margins", [arcface, adaface, curricularface])
def test_centres_come_from_the_trunk_and_statistics_where_they_are_the_same(tmp_path, margins):
    state = classifier(adaface).state_dict() | {"margin.mean": torch.tensor(21.5)}
    save_weights(tmp_path / CENTRES, state, {"spheres": 1})
    fixed = _fixed(classifier(margins), tmp_path)
    torch.testing.assert_close(fixed.centres.data, state["centres"], rtol=0, atol=0)
    assert not fixed.centres.requires_grad
    if margins is adaface:
        assert fixed.margin.mean == 21.5
    if margins is curricularface:
        assert fixed.margin.t == 0


@pytest.mark.parametrize(("classes", "spheres"), [(8, 1), (7, 2)])
def test_a_classifier_of_other_people_is_refused(tmp_path, classes, spheres):
    save_weights(tmp_path / CENTRES, classifier(arcface).state_dict(), {"spheres": 1})
    with pytest.raises(InputError, match=r"\(7, 12, 1\), those asked for"):
        _fixed(classifier(arcface, classes, spheres), tmp_path)
