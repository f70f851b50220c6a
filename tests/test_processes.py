"""Several processes share a run: what two of them find is what one finds, and what goes wrong in one ends both."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from shell import call, told, write
from tiny import tiny_bridge
from two_processes import CLAIMS, LADDER, claims, command, readings, weights

import harmcircuits as hc
from harmcircuits import cli, store
from harmcircuits.processes import ProcessError, add_up, each, from_first, several_processes

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a model and prompts; one thread, as the launcher gives each process."""
    place, threads = tmp_path_factory.mktemp("processes"), torch.get_num_threads()
    tiny_bridge(place / "model")
    tiny_bridge(place / "later", seed=1)
    write(place / "prompts.csv")
    torch.set_num_threads(1)
    yield place
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def alone(place: Path) -> dict[str, Any]:
    """The report of one process that runs the command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.CACHE_VARIABLE, str(place / "cache of one"))
        assert command(place, "--out", str(place / "one")) is None
    return report(place / "one")


@pytest.fixture(scope="module")
def claimed(place: Path) -> Path:
    """The claims of one process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.CACHE_VARIABLE, str(place / "cache of claims"))
        claims(place, place / "claims of one")
    return place / "claims of one"


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text("utf-8"))
    return {name: value for name, value in found.items() if name != "seconds"}


def launch(place: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", store.CACHE_VARIABLE: str(place / "cache"), "COLUMNS": "200"}
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")])
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    return subprocess.run(
        [*launcher, str(HERE / "two_processes.py"), str(place)], env=environment, text=True, capture_output=True, timeout=800
    )


@pytest.fixture(scope="module")
def two(place: Path, alone: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], str]:
    """What each of two processes found, and what they printed."""
    done = launch(place)
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = (json.loads((place / f"readings-{rank}.json").read_text()) for rank in (0, 1))
    return first, second, done.stdout + done.stderr


@pytest.fixture(scope="module")
def one(place: Path) -> Any:
    return hc.load_model(place / "model", device="cpu")


def as_kept(value: object) -> str:
    return json.dumps(json.loads(json.dumps(value)))


class TestTwoProcesses:
    def test_every_reading_is_that_of_one_process_to_the_last_bit(self, two: Any, one: Any) -> None:
        alone = readings(one)
        for name, value in alone.items():
            assert as_kept(two[0]["readings"][name]) == as_kept(value), name
        assert as_kept(two[1]["readings"]) == as_kept(two[0]["readings"])

    def test_scores_of_weights_are_added_up_and_select_the_same(self, two: Any, one: Any) -> None:
        alone = weights(one)
        assert two[0]["weights"] == two[1]["weights"]
        for kind in ("signed", "absolute"):
            for name, scores in alone[kind].items():
                found = torch.tensor(two[0]["weights"][kind][name])
                torch.testing.assert_close(found, torch.tensor(scores), rtol=1e-4, atol=1e-7)
        assert two[0]["weights"]["mask"] == alone["mask"]
        assert any(alone["mask"].values())

    def test_the_second_is_told_what_the_first_finds_in_the_cache(self, two: Any) -> None:
        assert two[0]["again"] == two[1]["again"] == two[0]["readings"]["greedy"]

    def test_a_smaller_device_reads_in_halves_and_scores_of_weights_end(self, two: Any) -> None:
        first, second = (found["smaller"] for found in two[:2])
        assert first["loss"] == second["loss"] == pytest.approx(two[0]["whole"], rel=1e-4)
        assert second["weights"] == "OutOfMemoryError: CUDA out of memory."
        assert first["weights"].startswith("ProcessError: process 1 has failed with OutOfMemoryError")

    def test_a_run_of_the_command_is_that_of_one_process(self, two: Any, alone: dict[str, Any], place: Path) -> None:
        assert two[0]["run"] is two[1]["run"] is None
        assert report(place / "two") == alone
        assert (place / "two" / "outcomes.csv").read_text() == (place / "one" / "outcomes.csv").read_text()
        files = [{str(file.relative_to(place / name)) for file in (place / name).rglob("*")} for name in ("one", "two")]
        assert files[0] == files[1], "and nothing is left over"

    def test_a_run_that_one_process_began_is_gone_on_with(self, two: Any, alone: dict[str, Any], place: Path) -> None:
        """What it kept is read by the first of two, and told to the second."""
        assert two[0]["resumed"] is two[1]["resumed"] is None
        assert report(place / "one") == alone

    def test_only_the_first_prints(self, two: Any) -> None:
        printed = two[2]
        assert printed.count("Verdict:") == 2, "of a run, and of the one that was gone on with"
        assert printed.count("error: ") == 1
        assert "Traceback" not in printed
        assert two[0]["refused"] == two[1]["refused"] == 1

    @pytest.mark.parametrize("name", [*CLAIMS, *LADDER])
    def test_a_claim_is_that_of_one_process(self, two: Any, claimed: Path, place: Path, name: str) -> None:
        assert two[0]["claims"] == two[1]["claims"] == [None] * len({**CLAIMS, **LADDER})
        alone, both = (json.loads((folder / f"{name}.json").read_text()) for folder in (claimed, place / "claims of two"))
        for found in (alone, both):
            found.pop("cost", None)  # of the paper: seconds
        assert both == alone

    def test_claims_leave_the_same_files(self, two: Any, claimed: Path, place: Path) -> None:
        files = [{str(file.relative_to(folder)) for file in folder.rglob("*")} for folder in (claimed, place / "claims of two")]
        assert files[0] == files[1]

    def test_an_error_of_ours_is_raised_in_both(self, two: Any) -> None:
        assert [found["faults"]["of ours"] for found in two[:2]] == ["AttributionError: this score is broken"] * 2

    def test_any_other_error_is_shown_by_its_own_process_alone(self, two: Any) -> None:
        first, second, _ = two
        assert second["faults"]["foreign"] == "ZeroDivisionError: words of the second alone"
        assert first["faults"]["foreign"].startswith("ProcessError: process 1 has failed with ZeroDivisionError")
        assert second["ends early"] == "ValueError: words of the second alone"
        assert first["ends early"].startswith("ProcessError: process 1 has failed with ValueError")

    def test_processes_that_come_apart_are_told_where(self, two: Any) -> None:
        for found in two[:2]:
            assert found["faults"]["other examples"].startswith("ProcessError: process 1 is at batches [[")
            assert "give all of them the same model, prompts and settings" in found["faults"]["other examples"]
            assert found["faults"]["after them"] == "none", "and may go on"


class TestOneProcess:
    def test_nothing_is_shared(self) -> None:
        with several_processes() as group:
            assert (group.rank, group.size, group.first, group.device) == (0, 1, True, None)
            done: list[int] = []
            found = each([1, 2], done.append)
            next(found)
            assert done == [1], "jobs are done as they are asked for"
            assert from_first(lambda: 3) == 3
            sums = torch.ones(2)
            add_up([sums])
            assert torch.equal(sums, torch.ones(2))

    def test_no_launcher_is_asked_for_and_accelerate_is_not_imported(self) -> None:
        words = "import sys, harmcircuits.processes as p\nwith p.several_processes(): list(p.each([1], id))\n"
        words += "assert 'accelerate' not in sys.modules and not p.launched()"
        subprocess.run([sys.executable, "-c", words], check=True, cwd=HERE.parent)

    def test_a_process_that_lost_its_group_does_not_go_on_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setattr("accelerate.PartialState", lambda **_: None)
        with pytest.raises(ProcessError, match="2 processes, and this one is no longer one of them"), several_processes():
            pass

    def test_the_module_is_the_command(self) -> None:
        module = [sys.executable, "-m", "harmcircuits", "--version"]
        found = subprocess.run(module, cwd=HERE.parent, text=True, capture_output=True)
        assert found.stdout.strip() == hc.__version__


def test_accelerate_starts_a_command_as_the_docs_say(place: Path) -> None:
    """The command as a user types it, without the functions above: its file is the one that a process alone writes."""
    model = ["--model", str(place / "model"), "--prompts", str(place / "prompts.csv"), "--quick", "--triples", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", store.CACHE_VARIABLE: str(place / "cache of accelerate")}
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    launcher = [str(Path(sys.executable).with_name("accelerate")), "launch", "--multi_gpu", "--num_processes", "2"]
    for out, start in {"both": launcher, "alone": [sys.executable]}.items():
        words = [*start, "-m", "harmcircuits", "distinct", *model, "--device", "cpu", "--out", out]
        done = subprocess.run(words, env=environment, cwd=place, text=True, capture_output=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("Numbers: ") == 1, "the first process alone prints"
    both, alone = (json.loads((place / out / "distinct.json").read_text()) for out in ("both", "alone"))
    for found in (both, alone):
        found.pop("command")  # another folder
    assert both == alone


@pytest.mark.parametrize("name", [command.__name__.replace("_", "-") for command in cli.COMMANDS])
def test_a_command_that_cannot_be_shared_says_so_before_anything_is_done(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    if name in cli.SHARED:
        assert call(name, "--help").exit_code == 0
        return
    told(call(name), f"error: several processes cannot share {name}", f"harmcircuits {name} …", "dissociate", code=2)
    monkeypatch.setenv("RANK", "1")
    assert call(name).output == ""


def test_one_gpu_for_all_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.shared, "current", lambda: type("Two", (), {"size": 2}))
    with pytest.raises(RuntimeError, match="--device cuda:0 is one for all 2 processes: leave it out"):
        cli.shared.load("smollm2-135m-instruct", "cuda:0", "float32")
