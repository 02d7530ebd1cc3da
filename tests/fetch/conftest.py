"""The stage, run once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.fetch.__main__ import main


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/raw/orl as the stage writes it with its defaults."""
    folder = tmp_path_factory.mktemp("fetch")
    (folder / "params.yaml").write_text("fetch: {seed: 0}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main()
    return folder / "data/raw/orl"
