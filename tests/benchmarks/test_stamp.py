"""Measured documents say of which code they are, and it shows when the code has moved on."""

from __future__ import annotations

import re
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from benchmarks import _stamp, stale
from benchmarks._report import write_part
from benchmarks._stamp import UNKNOWN, Stamp, code_of, comparisons, digest
from faults.__main__ import NAME, SECTIONS
from stages.check.code import ROOT

ALL = [(document, part) for document, parts in stale.PARTS.items() for part in parts]
DIGESTS = {"stages": "0123456789ab", "faults": "ba9876543210"}


@pytest.mark.parametrize(("document", "part"), ALL)
def test_every_measured_part_carries_commit_and_digests(document: str, part: str) -> None:
    """Older than the code it may be: `python -m benchmarks.stale` and `make test` say so."""
    stamp = stale.stamp_of(document, part)
    assert stamp.commit != UNKNOWN, "measure it in a git repository"
    assert stamp.code.keys() == code_of(part).keys()


def test_every_generated_part_of_these_documents_is_known() -> None:
    for document, parts in stale.PARTS.items():
        marks = re.findall(r"<!-- begin: python -m (.+?) -->", (ROOT / document).read_text())
        assert sorted(marks) == sorted(parts)
    faults = stale.PARTS["docs/faults.md"]
    assert faults.keys() == {NAME, *(f"{NAME} {section}" for section in SECTIONS)}


def test_the_digest_is_of_names_and_bytes(tmp_path: Path) -> None:
    a, b = Path("a.py"), Path("x/b.py")
    (tmp_path / "x").mkdir()
    (tmp_path / a).write_bytes(b"one")
    (tmp_path / b).write_bytes(b"two")
    listed = f"{sha256(b'one').hexdigest()}  a.py\n{sha256(b'two').hexdigest()}  x/b.py\n"
    before = digest([b, a], tmp_path)
    assert before == sha256(listed.encode()).hexdigest()[:12]
    (tmp_path / "c.py").write_bytes(b"three")
    assert digest([a, b], tmp_path) == before
    (tmp_path / b).write_bytes(b"two\n")
    assert digest([a, b], tmp_path) != before
    (tmp_path / b).rename(tmp_path / "b.py")
    (tmp_path / "b.py").write_bytes(b"two")
    assert digest([a, Path("b.py")], tmp_path) != before


@pytest.mark.parametrize(
    ("name", "runs", "runs_not"),
    [
        ("bessel", "stages/core/bessel.py", "stages/losses/arcface.py"),
        ("head", "stages/losses/_classifier.py", "stages/align/crops.py"),
        ("extraction", "stages/networks/mobilefacenet.py", "stages/report/__main__.py"),
        ("pipeline", "stages/report/__main__.py", "faults/kills.py"),
    ],
)
def test_a_comparison_is_of_the_code_it_runs(name: str, runs: str, runs_not: str) -> None:
    files = code_of("benchmarks")[name]
    assert Path(runs) in files
    assert Path(runs_not) not in files
    assert {Path(f"benchmarks/{name}.py"), Path("benchmarks/_measure.py")} <= {*files}


def test_all_comparisons_and_no_other_module_are_in_the_table() -> None:
    assert {"alignment", "training"} <= {*comparisons()}
    assert not {"full_size", "stale", "_stamp"} & {*comparisons()}
    assert set(_stamp.RUN_BY_NAME) <= {*comparisons(), "full_size"}


@pytest.mark.parametrize("changed", [False, True])
def test_what_is_written_is_read(tmp_path: Path, changed: bool) -> None:
    stamp = Stamp("0123456789ab", changed, DIGESTS)
    document = tmp_path / "a.md"
    document.write_text("<!-- begin: python -m faults kills -->\nold\n<!-- end -->\n")
    write_part(document, "faults kills", "new", stamp)
    assert stale.stamp_of("a.md", "faults kills", tmp_path) == stamp
    assert "Measured at commit 0123456789ab" in document.read_text()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Measured at commit 0123abc.\n",
        "Measured at commit HEAD.\n<!-- code: stages=0123456789ab -->",
        "Measured at commit 0123abc.\n<!-- code: stages=0123 -->",
        "Measured at commit 0123abc.\n<!-- code:  -->",
    ],
)
def test_a_malformed_stamp_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.md").write_text(f"<!-- begin: python -m x -->\n{text}\n<!-- end -->\n")
    with pytest.raises(ValueError, match="no commit and digests"):
        stale.stamp_of("a.md", "x", tmp_path)
    with pytest.raises(ValueError, match="a.md has no part"):
        stale.stamp_of("a.md", "y", tmp_path)


def test_a_part_is_stale_when_its_code_has_changed(tmp_path: Path, monkeypatch, capsys) -> None:
    now = Stamp.now("faults kills")
    assert set(now.code) == {"stages", "faults"}
    monkeypatch.setattr(stale, "PARTS", {"a.md": {"faults kills": "make faults"}})
    monkeypatch.setattr(stale, "stamp_of", lambda document, part: now)
    assert stale.main() == 0
    older = Stamp("0123abc", False, now.code | {"faults": "0" * 12})
    monkeypatch.setattr(stale, "stamp_of", lambda document, part: older)
    assert stale.main() == 1
    said = capsys.readouterr().out
    assert "a.md, faults kills: faults changed since commit 0123abc" in said
    assert "make faults" in said


def test_what_does_not_say_is_listed_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """A document that is missing, too: the summary of `make test` survives it."""
    parts = {"docs/none.md": {"faults": "make faults"}, "README.md": {"faults kills": "make x"}}
    monkeypatch.setattr(stale, "PARTS", parts)
    first, second = stale.lines()
    assert "docs/none.md, faults: " in first
    assert "README.md has no part of python -m faults kills" in second


def in_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The code of the faults in a folder of its own, where nothing is a repository."""
    files = [Path("faults/kills.py"), Path("faults/damage.py")]
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    monkeypatch.setattr(_stamp, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return files


def test_without_a_repository_or_git_the_commit_is_unknown(tmp_path: Path, monkeypatch) -> None:
    files = in_a_copy(tmp_path, monkeypatch)
    assert _stamp._commit(files) == (UNKNOWN, False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _stamp._commit(files) == (UNKNOWN, False)


def test_the_commit_is_the_last_that_touched_the_code(tmp_path: Path, monkeypatch) -> None:
    """In a shallow clone too, which knows of one."""
    files = in_a_copy(tmp_path, monkeypatch)

    def git(*arguments: str) -> str:
        who = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        done = subprocess.run(
            ["git", *who, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    git("init", "-q")
    git("add", "faults")
    git("commit", "-qm", "code")
    code = git("rev-parse", "HEAD")
    (tmp_path / "other").touch()
    git("add", "other")
    git("commit", "-qm", "other")
    commit, changed = _stamp._commit(files)
    assert code.startswith(commit)
    assert len(commit) == 12
    assert not changed
    (tmp_path / files[0]).write_text("changed")
    assert _stamp._commit(files) == (commit, True)
    git("clone", "-q", "--depth", "1", f"file://{tmp_path}", str(tmp_path / "shallow"))
    monkeypatch.setattr(_stamp, "ROOT", tmp_path / "shallow")
    commit, changed = _stamp._commit(files)
    assert re.fullmatch("[0-9a-f]{12}", commit)
    assert not changed
