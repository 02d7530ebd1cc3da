"""Draws docs/images/magnitudes.png: a handful of faces, sorted by the magnitude of their embedding.

    dvc exp run -n magnitudes -S loss=magface -S ++backbone.flavour=magface
    python -m docs.images.magnitudes

The faces are those of the embedded surveillance set, photographs of people that the trunk never
saw, 6 to 60 pixels wide; every tenth of them by magnitude, the smallest first.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from stages.datasets._store import ImageStore
from stages.report import pictures

IMAGE_SET = "orl_surveillance"
FACES, COLUMNS = 12, 6
PICTURE = Path(__file__).parent / "magnitudes.png"


def main() -> None:
    """Write the picture and print what is in it."""
    magnitude = np.load(f"data/features/{IMAGE_SET}/trunk/norm.npy")
    store = ImageStore(Path("data/align") / IMAGE_SET)
    order = np.argsort(magnitude, kind="stable")
    shown = order[np.linspace(0, len(order) - 1, FACES).round().astype(int)]
    images = [store.image(int(row)) for row in shown]
    texts = [
        f"{magnitude[row]:.1f} ({image.shape[1]} px)"
        for row, image in zip(shown, images, strict=True)
    ]
    PICTURE.write_bytes(pictures.png(pictures.faces(images, texts, COLUMNS)))
    width = [store.image(row).shape[1] for row in range(len(magnitude))]
    correlation = spearmanr(magnitude, width).statistic
    print(*texts, f"rank correlation with the width: {correlation:.2f}", sep="\n")


if __name__ == "__main__":
    main()
