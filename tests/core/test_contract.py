"""The training sets that a contract names, in the order in which a model learnt them."""

from __future__ import annotations

from stages.core.contract import InputContract, TrainingSet

FACES, OTHERS = "0" * 64, "f" * 64


def test_a_model_names_each_set_that_it_learnt_once() -> None:
    first = InputContract(colour="bgr").learning("faces", FACES)
    assert first == InputContract(colour="bgr", training_data=f"faces {FACES}")
    assert first.learning("faces", FACES) == first
    assert first.learning("faces", OTHERS).training_sets() == [
        TrainingSet("faces", FACES),
        TrainingSet("faces", OTHERS),
    ]


def test_what_a_checkpoint_says_of_itself_is_no_set_of_ours() -> None:
    bought = f"imported: r100 v2.pth, sha256 {FACES}"
    contract = InputContract(training_data=bought).learning("faces", OTHERS)
    assert contract.training_data == f"{bought}; then faces {OTHERS}"
    assert contract.training_sets() == [TrainingSet(bought, None), TrainingSet("faces", OTHERS)]
    assert InputContract().training_sets() == []
    assert InputContract(training_data="ms1mv3 (unknown)").training_sets() == [
        TrainingSet("ms1mv3 (unknown)", None)
    ]
