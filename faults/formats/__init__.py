"""Every format that is read from outside, with its own ways of being wrong; a family a file."""

from __future__ import annotations

from itertools import chain

from faults.formats import arrays, checkpoints, images, lists, matlab, params, pickles, recordio

FORMATS = {
    format.name: format
    for format in chain.from_iterable(
        family.FORMATS
        for family in (recordio, pickles, arrays, images, lists, matlab, checkpoints, params)
    )
}
