"""Who is on which image, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from stages.core.errors import InputError
from stages.protocols._subjects import image_subjects, template_subjects
from tests.protocols import made


def listed():
    """Templates 1 and 2 of subjects 7 and 8; nobody names template 3, which has 7's image 10."""
    return made.tables(
        templates={"record": np.array([10, 11, 12, 10, 13]), "template": np.array([1, 2, 1, 3, 3])},
        galleries={"template": np.array([1]), "subject": np.array([7])},
        probes={"template": np.array([1, 2]), "subject": np.array([7, 8])},
    )


def test_images_of_known_people_in_the_order_of_the_set() -> None:
    """Not in that of their digests; image 12 is lost, and whose image 13 is nobody says."""
    sha1 = np.array(["c", "b", "a"], object)
    images, person = image_subjects(
        listed(), made.index(3, record=np.array([10, 11, 13]), sha1=sha1)
    )
    assert (images.tolist(), person.tolist()) == ([0, 1], [7, 8])


def test_lists_that_contradict_each_other_are_an_error() -> None:
    tables = listed()
    tables["probes"]["subject"][0] = 9
    with pytest.raises(InputError, match=r"template 1 is of subject 9 here and 7 in another list"):
        template_subjects(tables)
