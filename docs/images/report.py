"""Draws docs/images/report.png: the first screen of plots/report/report.html.

    python docs/images/report.py

Needs Chromium (`chromium`) on the PATH, after `dvc repro`.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from PIL import Image

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[1] / "plots/report/report.html"
PICTURE = FOLDER / "report.png"
WIDTH, HEIGHT = 1200, 1180
COLOURS = 128  # a screenshot of few flat colours: a palette makes a quarter of the size


def main() -> None:
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    window = [f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={PICTURE}"]
    subprocess.run(["chromium", *flags, *window, PAGE.as_uri()], check=True, capture_output=True)
    image = Image.open(PICTURE).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
