"""The whole pipeline on a cut-down ORL: what DVC must do, run again, skip, restore and survive."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
import yaml

from stages.check.code import ROOT

CUT_DOWN = {
    "backbone.width": 0.125,
    "backbone.embedding": 32,
    "resolutions": [14],
    "threads": 1,
    "schedules.orl.epochs": 3,
    "distill.epochs": 1,
    "heads": ["scf"],
    "head.shared.epochs": 1,
    "evaluate.bootstrap": 100,
    "test_sets": ["orl_pack", "orl_templates"],
    "benchmarks": {
        "orl_pairs": {"protocol": "pairs", "dataset": "orl_pack"},
        "orl_1toN": {"protocol": "identification", "dataset": "orl_templates"},
    },
}
LEFT_BEHIND = ("tests/", "docs/", "metrics/", "dvc.lock")  # not of use, or results
PREPARATION = ("fetch", "unpack", "align")


class Clone:
    """A scratch repository with the files of this one, and commands that run in it."""

    def __init__(self, folder: Path, changes: dict[str, object]) -> None:
        self.folder = folder
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
        for name in files.stdout.splitlines():
            if (ROOT / name).is_file() and not name.startswith(LEFT_BEHIND):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        self.set(changes)
        self.run("git", "init", "-q")
        self.run("git", "config", "user.email", "test@localhost")
        self.run("git", "config", "user.name", "test")
        self.commit("cut down")

    def run(self, *command: str, fails: bool = False) -> str:
        """Standard output and error of a command; it must succeed, or fail, as said."""
        done = subprocess.run(
            command, cwd=self.folder, env=environment(), capture_output=True, text=True, check=False
        )
        output = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, output
        return output

    def start(self, *command: str) -> subprocess.Popen:
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def set(self, changes: dict[str, object]) -> None:
        file = self.folder / "params.yaml"
        params = yaml.safe_load(file.read_text())
        for key, value in changes.items():
            *path, last = key.split(".")
            section = params
            for part in path:
                section = section[part]
            section[last] = value
        file.write_text(yaml.safe_dump(params, sort_keys=False))

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", message, "--allow-empty")

    def hashes(self) -> dict[str, str]:
        """MD5 of every output in dvc.lock."""
        stages = yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"]
        return {out["path"]: out["md5"] for stage in stages.values() for out in stage["outs"]}

    def stale(self) -> set[str]:
        """Stages that `dvc status` would run."""
        return set(json.loads(self.run("dvc", "status", "--json") or "{}"))


def environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"}


def ran(output: str) -> set[str]:
    """Stages whose command was executed."""
    lines = [line for line in output.splitlines() if line.startswith("Running stage '")]
    return {line.split("'")[1] for line in lines}


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Clone:
    clone = Clone(tmp_path_factory.mktemp("clone"), CUT_DOWN)
    clone.run("dvc", "repro")
    clone.commit("results")
    return clone


def test_everything_is_up_to_date_and_a_second_run_does_nothing(clone) -> None:
    assert clone.stale() == set()
    assert ran(clone.run("dvc", "repro")) == set()
    assert clone.run("git", "status", "--porcelain") == ""


def test_results_are_there(clone) -> None:
    summary = json.loads((clone.folder / "metrics/summary.json").read_text())
    assert summary
    for name in yaml.safe_load((clone.folder / "params.yaml").read_text())["benchmarks"]:
        metrics = json.loads((clone.folder / f"metrics/evaluate/{name}.json").read_text())
        assert metrics[name]
    report = (clone.folder / "plots/report/report.html").read_text()
    assert "<img" in report
    assert "http://" not in report.replace("http://www.w3.org", "")


def test_a_fresh_clone_pulls_everything_and_runs_nothing(clone, tmp_path) -> None:
    from tests.sharing import share  # which needs the clones of this file

    share(clone, tmp_path / "there", str(tmp_path / "storage"))
    (clone.folder / ".dvc/config.local").unlink()


def test_a_new_loss_an_edit_of_another_and_a_comment_run_check_alone(clone) -> None:
    losses = clone.folder / "stages/losses"
    added = losses / "mine.py"
    shutil.copy(losses / "softmax.py", added)
    magface = (losses / "magface.py").read_text()
    (losses / "magface.py").write_text(magface + "\nedited = True\n")
    fit = clone.folder / "stages/core/fit.py"
    text = fit.read_text()
    fit.write_text(text + "\n# a comment\n")
    assert clone.stale() == {
        "check"
    }  # which takes a second, and finds the other lists as they were
    clone.run("dvc", "repro", "check")
    assert clone.stale() == set()
    (losses / "magface.py").write_text(magface)
    fit.write_text(text)
    added.unlink()
    clone.run("dvc", "repro", "check")


def test_another_loss_prepares_no_data_again_and_going_back_trains_nothing(clone) -> None:
    before = clone.hashes()
    output = clone.run("dvc", "exp", "run", "-n", "magface", "-S", "loss=magface")
    executed = ran(output)
    assert "train" in executed
    assert not {stage for stage in executed if stage.startswith(PREPARATION)}
    assert "orl_pairs" in clone.run("dvc", "metrics", "diff", "HEAD", "magface")
    clone.set({"loss": "arcface"})
    assert ran(clone.run("dvc", "repro")) == set()
    assert clone.hashes() == before
    clone.run("git", "checkout", "-q", ".")


def test_a_new_head_computes_no_embedding_again(clone) -> None:
    clone.set({"heads": ["scf", "coreset"]})
    executed = ran(clone.run("dvc", "repro"))
    sets, benchmarks = CUT_DOWN["test_sets"], CUT_DOWN["benchmarks"]
    extracted = {f"extract_heads@{name}" for name in sets}
    evaluated = {f"evaluate@{name}" for name in benchmarks}
    assert executed == {"check", "head@coreset", "report"} | extracted | evaluated
    clone.run("git", "checkout", "-q", ".")
    clone.run("dvc", "checkout")


def test_a_wrong_choice_is_refused_before_anything_is_deleted(clone) -> None:
    output = clone.run("dvc", "exp", "run", "-S", "loss=nonsense", fails=True)
    assert "loss: 'nonsense' is none of" in output
    assert "Traceback" not in output
    assert (clone.folder / "models/train/weights.safetensors").is_file()
    clone.run("git", "checkout", "-q", ".")
    clone.run("dvc", "checkout")


def test_forced_training_gives_the_same_bytes(clone) -> None:
    before = clone.hashes()
    clone.run("dvc", "repro", "--force")
    assert clone.hashes() == before


@pytest.mark.parametrize("whole_group", [False, True], ids=["dvc alone", "the whole group"])
def test_killed_training_resumes_and_ends_with_the_same_bytes(clone, whole_group: bool) -> None:
    """With a seed of its own: what was trained before would come from DVC's cache."""
    clone.set({"seed": 7 + whole_group})
    only_training = ("dvc", "repro", "--single-item", "train")
    process = clone.start(*only_training)
    wait_for(lambda: list(clone.folder.glob(".dvc/tmp/checkpoints/train/*/state.pt")))
    if whole_group:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    assert "train: resumes after epoch" in clone.run(*only_training)
    resumed = clone.hashes()
    assert not list(clone.folder.glob(".dvc/tmp/checkpoints/train/*"))
    clone.run(*only_training, "--force")
    assert clone.hashes() == resumed
    clone.run("git", "checkout", "-q", ".")
    clone.run("dvc", "checkout")


def wait_for(condition, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_without_a_test_set_the_other_benchmarks_still_run(clone) -> None:
    params = yaml.safe_load((clone.folder / "params.yaml").read_text())
    gone = {"format": "bin", "root": "data/raw/lfw.bin", "align": "detect"}
    benchmark = {"protocol": "pairs", "dataset": "lfw"}
    clone.set(
        {
            "datasets": params["datasets"] | {"lfw": gone},
            "test_sets": [*params["test_sets"], "lfw"],
            "benchmarks": params["benchmarks"] | {"lfw": benchmark},
            "evaluate.bootstrap": 200,
        }
    )
    output = clone.run("dvc", "repro", "--keep-going", fails=True)
    assert "data/raw/lfw.bin: data set lfw: no such file or folder" in output
    assert {"evaluate@orl_pairs", "evaluate@orl_1toN"} <= ran(output)
    output = clone.run("dvc", "repro", "--single-item", "report")
    assert "leaves out lfw: it has no results" in output
    summary = json.loads((clone.folder / "metrics/summary.json").read_text())
    assert set(summary["summary"]) == {"orl_pairs", "orl_1toN"}
    clone.run("git", "checkout", "-q", ".")
    clone.run("dvc", "checkout")


def test_an_item_taken_out_leaves_no_trace_in_the_results(clone, tmp_path) -> None:
    less = {"heads": [], "resolutions": [], "test_sets": ["orl_pack"]}
    less["benchmarks"] = {"orl_pairs": CUT_DOWN["benchmarks"]["orl_pairs"]}
    clone.set(less)
    output = clone.run("dvc", "repro")
    assert {"extract@orl_pack", "extract_heads@orl_pack"} <= ran(output)
    assert "is empty" not in output
    fresh = Clone(tmp_path, CUT_DOWN | less)
    (fresh.folder / ".dvc/config.local").write_text(
        f"[cache]\n    dir = {clone.folder}/.dvc/cache\n"
    )
    fresh.run("dvc", "repro")
    for name in ("metrics", "plots/report"):
        for file in (fresh.folder / name).rglob("[!.]*.*"):
            other = clone.folder / file.relative_to(fresh.folder)
            assert other.read_bytes() == file.read_bytes(), file
    clone.run("git", "checkout", "-q", ".")
    clone.run("dvc", "checkout")


def test_two_kills_as_make_faults_sends_them(clone, tmp_path) -> None:
    """On the way to the first images, which takes seconds; the section `kills` has the rest."""
    from faults import kills  # which needs the clones of this file

    moments = [
        kills.Moment(0.1, signal.SIGKILL, kills.ALONE, "fetch"),
        kills.Moment(0.1, signal.SIGTERM, kills.WHOLE_GROUP, "unpack@orl_pack"),
    ]
    section = kills.disturb(clone, tmp_path, moments, targets=("unpack@orl_pack",))
    assert section.findings == []
    assert sum(inside for *_, inside, _ in section.rows) == section.cases == 2


def test_a_full_disk_as_make_faults_fills_it(clone, tmp_path) -> None:
    """And read-only outputs and missing inputs, for one stage; the section `storage` has all."""
    from faults import storage
    from faults._report import Section

    section, draw = Section(storage.HEADERS), Random(0)
    with storage.disk(clone.folder, tmp_path) as place:
        stages = storage.one_of_each(clone.folder, draw)
        (unpack,) = (stage for stage in stages if stage.name == "unpack")
        storage.run(section, unpack, place, draw, with_disk=True)
    assert section.findings == []
    assert section.rows == [("unpack", 2, 1, 1, 1)]
