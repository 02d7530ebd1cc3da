"""A folder of people -> InsightFace's training pack, the other way round than the stage.

QMUL-SurvFace's `training_set` (a folder per person) becomes train.rec, train.idx and property, as
recipes for RecordIO want it. The encoded bytes are copied.
"""

from __future__ import annotations

from pathlib import Path

from stages.core.entry import start
from stages.core.errors import InputError
from stages.core.files import atomic_folder
from stages.datasets._training_pack import write_training_pack
from stages.datasets.folder import Params, read


def main(root: str, pack: str) -> None:
    """Pack the folder of people `root` into the new folder `pack`."""
    if Path(pack).exists():
        raise InputError(pack, "exists already", "name a new folder, or remove this one")
    records = read(Path(root), Params()).records
    labels = [record.label for record in records]
    with atomic_folder(Path(pack)) as folder:
        write_training_pack(folder, labels, (record.payload for record in records))
    print(f"{len(labels)} images of {labels[-1] + 1} people in {pack}")


if __name__ == "__main__":
    start(main, "root", "pack")
