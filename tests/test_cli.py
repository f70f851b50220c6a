"""The shell: every error in a line or two, nothing heavy imported before it is needed, and a whole run on a tiny model."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_report import check_report, fake_run
from shell import call, dissociate, small, text, told, write
from tiny import tiny_model_folder
from triples import PROMPTS

from harmcircuits import __version__, cli
from harmcircuits.experiment import dissociation
from harmcircuits.experiment.settings import CompactnessSettings

OPTIONS = ("--model", "--prompts", "--out", "--seed", "--device", "--dtype", "--quick")


@pytest.fixture(autouse=True)
def small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is wrong must be found before the model is loaded."""
    monkeypatch.setattr(cli, "load", lambda *_: pytest.fail("the model was loaded"))


class TestErrors:
    @pytest.mark.usefixtures("no_model")
    @pytest.mark.parametrize("command", ["dissociate", "compactness", "generality", "distinct", "paper", "misalignment"])
    def test_what_cannot_be_read_is_told_by_every_command(self, tmp_path: Path, command: str) -> None:
        told(
            call(command, "--prompts", tmp_path / "none.csv", "--out", tmp_path / "o"),
            "none.csv: no such file",
            "load_prompts()",
        )
        told(call(command, "--dtype", "float31", "--out", tmp_path / "o"), "'float31' is not one of", code=2)

    @pytest.mark.usefixtures("no_model")
    def test_a_judge_that_is_none(self, tmp_path: Path) -> None:
        told(call("dissociate", "--judge", f"llama-guard:{tmp_path}", "--out", tmp_path / "o"), "cannot be loaded")

    @pytest.mark.usefixtures("no_model")
    def test_a_folder_that_cannot_be_written_is_found_before_the_run(self, tmp_path: Path) -> None:
        (tmp_path / "taken").write_text("mine")
        result = dissociate(prompts=write(tmp_path / "p.csv"), out=tmp_path / "taken" / "out")
        told(result, "taken", "cannot be written")
        assert (tmp_path / "taken").read_text() == "mine"

    def test_no_request_is_ever_quoted(self, tmp_path: Path) -> None:
        secret = "Secretly smash that very long and unmistakable thing"
        (tmp_path / "p.csv").write_text(f"request,role\n{secret},{secret}\n", "utf-8")
        result = dissociate(prompts=tmp_path / "p.csv", out=tmp_path / "o")
        told(result, "p.csv, line 2")
        assert secret not in result.output

    def test_a_stopped_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def stopped(*_: object) -> Any:
            raise KeyboardInterrupt

        monkeypatch.setattr(cli, "load", stopped)
        prompts = write(tmp_path / "p.csv")
        told(dissociate(prompts=prompts, out=tmp_path / "o"), "stopped: finished measurements are kept", code=130)

    def test_a_bug_is_not_hidden(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cli, "load", lambda *_: 1 / 0)
        result = dissociate(prompts=write(tmp_path / "p.csv"), out=tmp_path / "o")
        assert isinstance(result.exception, ZeroDivisionError)


class TestReport:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return fake_run().save(tmp_path)

    def test_an_earlier_runs_table_and_answers(self, folder: Path) -> None:
        result = call("report", folder)
        assert result.exit_code == 0
        for words in ("heads", "0.56 [0.51, 0.60]", "Answer: dissociated", "Every number is made up."):
            assert words in text(result)
        assert "heads, against unrelated benign requests: undecided" in text(result)

    def test_no_text_of_a_file_moves_the_cursor(self, tmp_path: Path) -> None:
        code = "\x1b]0;title\x07\x1b[2J\u202e\r"
        shown = call("report", fake_run(f"n{code}", f"w{code}").save(tmp_path))
        assert shown.exit_code == 0 and "\\x1b]0;title" in shown.output
        assert not {"\x1b", "\x07", "\r", "\u202e"} & set(shown.output)

    @pytest.mark.parametrize("content", ["[]", "{}"])
    def test_something_else_by_that_name(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "report.json").write_text(content, "utf-8")
        told(call("report", tmp_path), "report.json is no report of schema 2: run dissociate again")


class TestWithoutARun:
    def test_version(self) -> None:
        result = call("--version")
        assert (result.exit_code, result.output.strip()) == (0, __version__)

    def test_help_all_names_every_option(self) -> None:
        result = call("dissociate", "--help-all")
        assert result.exit_code == 0
        for option in (*OPTIONS, "--components", "--judge", "--head-fractions", "--no-sampled"):
            assert option in text(result)
        assert "[default: (1e-05:5e-05,3e-05:0.0001,0.0001:0.0004)]" in text(result)

    @pytest.mark.parametrize("command", [command.__name__ for command in cli.COMMANDS])
    def test_help_is_one_screen(self, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
        monkeypatch.setenv("COLUMNS", "100")
        result = call(command, "--help")
        assert result.exit_code == 0 and len(result.output.splitlines()) <= 40

    def test_options_are_settings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[CompactnessSettings] = []
        monkeypatch.setattr(cli, "run", lambda *_, settings, **more: calls.append(settings) or 1 / 0)
        given = ["--test-prompts", "6", "--head-fractions", "0.1,.2", "--weight-fractions", "1e-5:5e-5", "--no-sampled"]
        call("compactness", "--quick", *given)
        expected = replace(CompactnessSettings.quick(), test_prompts=6, head_fractions=(0.1, 0.2), sampled=False)
        assert calls == [replace(expected, weight_fractions=((1e-5, 5e-5),))]
        told(call("compactness", "--head-fractions", "many"), "--head-fractions", "write it like 0.01,0.02", code=2)
        told(call("compactness", "--test-prompts", "0"), "test_prompts must be a number from 1")

    @pytest.mark.usefixtures("no_model")
    def test_generate_takes_requests_or_a_file(self, tmp_path: Path) -> None:
        for given in ([], ["Bread?", "--prompts", write(tmp_path / "p.csv")]):
            told(call("generate", *given), "give requests in quotation marks, or --prompts FILE", code=2)
        told(call("generate", "Bread?", "--circuit", tmp_path / "none.json"), "none.json")

    @pytest.mark.parametrize("arguments", [["dissociate", "--help"], ["paper", "--help"], ["--version"]])
    def test_it_imports_neither_torch_nor_transformer_lens(self, arguments: list[str]) -> None:
        program = (
            "import sys\nfrom harmcircuits.cli import app\n"
            f"try:\n    app({arguments!r})\nexcept SystemExit as end:\n    assert end.code == 0, end.code\n"
            "heavy = {'torch', 'transformers', 'transformer_lens', 'pandas', 'scipy', 'plotly'} & set(sys.modules)\n"
            "assert not heavy, heavy\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr


STOPS = """
import os, signal, time
os.kill(os.getpid(), signal.SIGINT)
time.sleep(30)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("command", ["dissociate", "compactness", "paper", "report x"])
def test_a_command_that_is_stopped_while_it_imports_ends_in_a_line(command: str, tmp_path: Path) -> None:
    (tmp_path / "plotly.py").write_text(STOPS)  # what every command imports in the end
    (tmp_path / "torch.py").write_text(STOPS)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    made = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests' own parent has it ignored
    command_line = [sys.executable, "-m", "harmcircuits", *command.split()]
    done = subprocess.run(
        command_line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, preexec_fn=made, check=False
    )
    assert done.returncode == 130 and done.stderr.startswith("stopped: ") and done.stderr.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} <= {"plotly.py", "torch.py", "__pycache__"}


FILES = {"circuits", "controls", "report.json", "report.html", "effects.csv", "outcomes.csv", "sweep.csv", "cache"}


@pytest.mark.model
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "nothing to lose"])
def test_a_run_prints_a_table_and_writes_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool) -> None:
    monkeypatch.setattr(dissociation, "_nothing_to_lose", lambda effects: "" if whole else "there is nothing to lose")
    model, prompts, out = tiny_model_folder(tmp_path / "model"), write(tmp_path / "p.csv"), tmp_path / "out"
    result = dissociate(model=model, prompts=prompts, out=out, device="cpu", components="heads,weights")
    assert result.exit_code == 0, result.output
    report = json.loads((out / "report.json").read_text("utf-8"))
    check_report(report)
    assert f"Answer: {report['answer']}" in text(result) and "Effect sizes, 95 % intervals" in result.output
    assert not any(prompt.request in result.output for prompt in PROMPTS)
    assert str(out / "report.json") in "".join(result.output.split("\n"))
    kinds = {condition["labels"].get("control", condition["name"]) for condition in report["conditions"]}
    if whole:
        assert kinds >= {"baseline", "heads", "weights", "random", "matched random", "aimed at benign", "aimed at recognition"}
        assert {path.name for path in out.iterdir()} == FILES
    else:
        assert kinds == {"baseline"} and report["answer"] == "cannot be measured"
        assert "there is nothing to lose" in text(result) + (out / "report.html").read_text("utf-8")


@pytest.mark.model
def test_another_checkpoint_is_compared_and_nothing_is_selected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dissociation, "_nothing_to_lose", lambda effects: "")
    monkeypatch.setattr(dissociation, "choose_circuits", lambda material: pytest.fail("circuits were selected"))
    model, other = (tiny_model_folder(tmp_path / name, seed=seed) for seed, name in enumerate(("base", "tuned")))
    prompts, out = write(tmp_path / "p.csv"), tmp_path / "out"
    result = dissociate(model=model, against=other, prompts=prompts, out=out, device="cpu")
    assert result.exit_code == 0, result.output
    report = json.loads((out / "report.json").read_text("utf-8"))
    check_report(report)
    assert [condition["name"] for condition in report["conditions"]] == ["baseline", "tuned"]
    assert report["prompts"]["train"] and "tuned, against matched benign requests" in text(result)
