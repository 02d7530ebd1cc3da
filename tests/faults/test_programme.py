"""The programme survives what it finds: a crash is a finding, and what is left still runs."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from random import Random

import pytest

from faults import __main__ as programme
from faults import _clone, kills, storage
from faults._report import Finding, Section
from faults._task import Task
from tests.test_pipeline import wait_for

RUN_APART = programme.run_apart
MARKS = "<!-- begin: python -m {} -->\nold\n<!-- end -->\n"


def clean(cases: int) -> Section:
    return Section(("what",), [("it",)], cases=cases)


@pytest.fixture(autouse=True)
def _no_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sections that come to nothing, on a pipeline that is not there."""
    monkeypatch.setattr(_clone, "finished", lambda folder: _clone.at(folder))
    monkeypatch.setattr(_clone, "seconds_to_find_nothing_to_do", lambda clone: 1.5)
    monkeypatch.setattr(programme, "run_apart", lambda task, file: clean(task.seed + 1))


def test_nothing_wrong_is_status_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert programme.main([]) == 0
    said = capsys.readouterr().out
    assert "Nothing is wrong." in said
    assert all(f"## {name}, seed 0" in said for name in programme.SECTIONS)


def test_a_finding_is_status_1_and_the_other_sections_run(monkeypatch, capsys) -> None:
    def run_apart(task: Task, file: Path) -> Section:
        found = [Finding("case 7", "is wrong")] if task.section == "damage" else []
        return Section(("what",), findings=found, cases=1)

    monkeypatch.setattr(programme, "run_apart", run_apart)
    assert programme.main(["--seeds", "3-4", "-j", "2"]) == 1
    said = capsys.readouterr().out
    assert said.count("WRONG case 7: is wrong") == 2
    assert all(f"## {name}, seed 4" in said for name in programme.SECTIONS)
    row = next(line for line in said.splitlines() if line.startswith("| damage "))
    assert row.count("1 findings") == 2


def test_a_pipeline_that_does_not_run_is_a_finding_of_those_that_need_it(monkeypatch, capsys):
    def broken(folder: Path) -> None:
        raise AssertionError("dvc repro failed")

    monkeypatch.setattr(_clone, "finished", broken)
    assert programme.main([]) == 1
    said = capsys.readouterr().out
    assert said.count("WRONG the undisturbed pipeline: AssertionError: dvc repro failed") == 3
    assert next(line for line in said.splitlines() if line.startswith("| damage ")).count("clean")


@pytest.mark.parametrize("ends", ["raise KeyError('x')", "import os; os._exit(9)", "task.output"])
def test_a_section_that_crashes_is_a_finding(tmp_path, monkeypatch, ends: str) -> None:
    """Whether it raises, is killed, or gives something else than a section."""
    module = tmp_path / "faults_crash.py"
    module.write_text(f"def check(task):\n    {ends}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    task = Task("crash", 0, True, "", 0.0, str(tmp_path / "out"), module="faults_crash")
    section = RUN_APART(task, tmp_path / "task")
    assert [finding.where for finding in section.findings] == ["crash"]
    assert section.cases == 0


def test_the_document_gets_the_first_seeds_table_and_all_findings(tmp_path, monkeypatch) -> None:
    def run_apart(task: Task, file: Path) -> Section:
        found = [Finding("there", "wrong")] if task.seed == 2 and task.section == "kills" else []
        return Section(("seed",), [(f"of seed {task.seed}",)], findings=found, cases=5)

    monkeypatch.setattr(programme, "run_apart", run_apart)
    document = tmp_path / "faults.md"
    parts = ["faults", *(f"faults {name}" for name in programme.SECTIONS)]
    document.write_text("".join(map(MARKS.format, parts)))
    assert programme.main(["--seeds", "1-2", "--write", str(document)]) == 1
    text = document.read_text()
    assert "old" not in text
    assert text.count("of seed 1") == len(programme.SECTIONS)
    assert "of seed 2" not in text
    assert text.count("WRONG with seed 2, there: wrong") == 1
    assert text.count("Measured at commit ") == len(parts)


def test_guard_goes_on_after_an_exception() -> None:
    section = Section(("what",))
    for number in range(3):
        with section.guard(f"case {number}"):
            if number == 1:
                raise OSError("no\nsuch thing")
            section.cases += 1
    assert section.cases == 2
    (finding,) = section.findings
    assert finding.where == "case 1"
    assert "OSError: no | such thing (test_programme.py:" in finding.what


def test_a_section_is_read_as_it_was_written(tmp_path) -> None:
    section = Section(("a", "b"), [("x", 1)], ["note"], [Finding("here", "that")], 3)
    section.save(tmp_path / "section")
    again = Section.load(tmp_path / "section")
    assert str(again) == str(section)
    assert (again.cases, again.findings) == (3, section.findings)


@pytest.mark.parametrize(("text", "seeds"), [("3", [3]), ("0-4", [0, 1, 2, 3, 4])])
def test_seeds(text: str, seeds: list[int]) -> None:
    assert programme.seeds_of(text) == seeds


def test_an_unknown_section_is_refused(capsys) -> None:
    with pytest.raises(SystemExit):
        programme.main(["nonsense"])
    assert "nonsense: choose from kills, damage, storage, divergence" in capsys.readouterr().err


class Broken:
    """A clone in which no command succeeds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *command: str) -> str:
        raise AssertionError("nothing runs here")


def test_a_clone_that_does_not_start_costs_none_of_the_other_kills(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(_clone, "new", Broken)
    moments = [kills.Moment(0.0, signal.SIGKILL, kills.ALONE)] * 3
    section = kills.disturb(Broken(tmp_path), tmp_path, moments)
    assert [where for where, _ in section.findings] == [
        "kill 1, SIGKILL to dvc alone",
        "kill 2, SIGKILL to dvc alone",
        "kill 3, SIGKILL to dvc alone",
        "the run after the last kill",
    ]
    assert section.cases == 0


def test_a_stage_that_wrote_nothing_costs_none_of_its_other_faults(tmp_path) -> None:
    """Its outputs are missing, and so is what its command names."""
    origin, folder = tmp_path / "origin", tmp_path / "copy"
    for root in (origin, folder):
        (root / "data/in").mkdir(parents=True)
        (root / "data/in/file").touch()
        (root / "models").mkdir()
    (origin / "models/out").touch()
    stage = storage.Stage("train", "no-such-command", ("data/in",), ("models/out",))
    section = Section(storage.HEADERS)
    place = storage.Place(folder, origin, is_mounted=False)
    storage.run(section, stage, place, Random(0), with_disk=True)
    assert section.rows == [("train", 2, 1, 1, 1)]
    assert len(section.findings) == section.cases + 4  # and those after which it must succeed
    assert all("FileNotFoundError" in what for _, what in section.findings)
    assert (folder / "data/in/file").is_file()


def test_a_death_later_than_the_wait_for_it_is_that_of_the_signal(tmp_path, monkeypatch) -> None:
    """A busy machine takes longer than `_kill` waits: the next run is judged."""

    ready = tmp_path / "ready"

    class Slow(kills.Run):
        starts = 0

        def start(self) -> None:
            dies_late = (
                f"trap 'sleep 0.5; exit 255' INT; touch {ready}; while :; do sleep 0.1; done"
            )
            code = "exit 0" if self.starts else dies_late
            self.process = subprocess.Popen(["bash", "-c", code], start_new_session=True)
            self.signalled = False
            self.starts += 1

        def ran(self) -> list[str]:
            return []

    monkeypatch.setattr(kills, "DIES_WITHIN_S", 0.01)
    run = Slow(Broken(tmp_path))
    run.start()
    wait_for(ready.exists)
    assert not run.is_over(kills.Moment(0.0, signal.SIGINT, kills.ALONE))
    kills._kill(run, kills.Moment(0.0, signal.SIGINT, kills.ALONE))
    assert run.is_over(kills.Moment(60.0, signal.SIGINT, kills.ALONE))
    assert run.process.returncode == 0
    assert run.starts == 2


def test_a_file_that_no_list_names_is_not_taken_away(tmp_path) -> None:
    for name in ("gallery/a.jpg", "unmated_probe/b.jpg", "unmated_probe/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for seed in range(20):
        assert storage._a_file_of(tmp_path, Random(seed)) == [tmp_path / "gallery/a.jpg"]


@pytest.mark.parametrize("finished", [True, False])
def test_a_training_that_finished_may_begin_anew(tmp_path, finished: bool) -> None:
    """DVC may be killed before it knows that a stage succeeded: then the stage runs again."""
    run = kills.Run(Broken(tmp_path / "lap1"))
    places = []
    for epoch in (2, 1):
        run.log.write_text(f"train: resumes after epoch {epoch}, step 0\n")
        places.append(kills._after_kill(run, "a kill"))
        if finished:
            (run.clone.folder / "models/train").mkdir(parents=True, exist_ok=True)
            assert kills._after_kill(run, "a kill") == []
    assert places == (
        [[], []] if finished else [[], [("after a kill", "train went back to epoch 1")]]
    )
