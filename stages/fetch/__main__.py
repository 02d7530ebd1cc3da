"""The embedded faces in the vendors' own formats: data/raw/orl.

People 1-20 are the training set; people 21-40, never seen in training, are the test sets.
"""

from __future__ import annotations

from pathlib import Path

from stages.core.entry import start
from stages.core.files import atomic_folder
from stages.core.params import section
from stages.fetch.pack import write_pack
from stages.fetch.params import Params
from stages.fetch.photographs import photographs
from stages.fetch.surveillance import write_surveillance
from stages.fetch.templates import write_templates
from stages.fetch.training import write_training

OUTPUT = Path("data/raw/orl")
TRAINING, UNSEEN = range(1, 21), range(21, 41)


def main() -> None:
    """Write the ORL faces as RecordIO, verification pack, IJB-style and SurvFace-style sets."""
    settings = section("fetch", Params)
    people = photographs()
    training = {person: people[person] for person in TRAINING}
    unseen = {person: people[person] for person in UNSEEN}
    with atomic_folder(OUTPUT) as folder:
        write_training(folder / "faces", training, settings)
        write_pack(folder / "orl.bin", unseen, settings)
        write_templates(folder / "ijb", unseen, settings)
        write_surveillance(folder / "survface", unseen, settings)


if __name__ == "__main__":
    start(main)
