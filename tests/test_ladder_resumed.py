"""A ladder that was killed, wherever that is, goes on where it was and ends as an unbroken one; half a stage is none."""

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from shell import call, told, write
from tiny import tiny_model_folder
from triples import make_triples

pytest.importorskip("trl")

from test_aligned import said

from harmcircuits import store
from harmcircuits.organisms import aligned
from harmcircuits.organisms.finetuning import Recipe, trainers, work

RECIPES = {
    "SFT": Recipe(rank=4, alpha=8, epochs=1, batch_size=8, learning_rate=0.02),
    "DPO": Recipe(method="dpo", rank=4, alpha=8, epochs=1, batch_size=8, learning_rate=0.005),
}
STAGES = ("sft", "dpo", "style-sft", "style-dpo")


class Killed(BaseException):
    """As an interrupt, and no error that anything here may catch."""


def stop() -> None:
    raise Killed


def quick(patch: pytest.MonkeyPatch) -> None:
    """Ladders in seconds, of a tiny random model, which writes no sentences."""
    patch.setattr(aligned, "elicit", said)
    patch.setenv("COLUMNS", "300")
    for name, recipe in RECIPES.items():
        patch.setattr(aligned, name, recipe)


def climb(given: Path, out: Path) -> Any:
    """The command on the model and prompts that lie in `given`."""
    return call("ladder", "--model", given / "model", "--prompts", given / "prompts.csv", "--out", out, "--device", "cpu")


def files(folder: Path) -> dict[str, bytes]:
    """All that lies there, hidden or not, but for locks; of tensors their values, since the order in a file is not fixed."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".lock":
            tensors = path.suffix == ".safetensors"
            own = repr([(n, t.tolist()) for n, t in sorted(load_file(path).items())]).encode() if tensors else path.read_bytes()
            found[path.relative_to(folder).as_posix()] = own
    return found


def steps_run(patch: pytest.MonkeyPatch) -> "Counter[str]":
    """How many steps of each stage the trainer makes from now on; an estimate's are of none."""
    run, plain = Counter[str](), trainers.AtSteps.on_step_end

    def count(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
        run.update(stage for stage in STAGES if f"/.{stage}." in Path(args.output_dir).as_posix())
        plain(self, args, state, control, **more)

    patch.setattr(trainers.AtSteps, "on_step_end", count)
    return run


def in_step(stage: str, step: int) -> Callable[[pytest.MonkeyPatch], None]:
    """At the end of that step, before anything of it is kept."""

    def put(patch: pytest.MonkeyPatch) -> None:
        plain = trainers.AtSteps.on_step_end

        def at(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
            plain(self, args, state, control, **more)
            if f"/.{stage}." in Path(args.output_dir).as_posix() and state.global_step == step:
                stop()

        patch.setattr(trainers.AtSteps, "on_step_end", at)

    return put


def before(stage: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Between two stages."""

    def put(patch: pytest.MonkeyPatch) -> None:
        plain = aligned.finetune
        patch.setattr(aligned, "finetune", lambda *given, **how: stop() if how["name"] == stage else plain(*given, **how))

    return put


def in_copy(then: Callable[[], None] = stop) -> Callable[[pytest.MonkeyPatch], None]:
    """When the weights that a stage starts from have been copied, and are not in their place yet."""

    def put(patch: pytest.MonkeyPatch) -> None:
        plain = work.save_plain

        def copy(model: Any, place: Path) -> None:
            plain(model, place)
            then()

        patch.setattr(work, "save_plain", copy)

    return put


def in_move(stage: str, then: Callable[[], None] = stop) -> Callable[[pytest.MonkeyPatch], None]:
    """When a trained stage is moved to its place, and is not there yet."""

    def put(patch: pytest.MonkeyPatch) -> None:
        plain = store.write_json

        def write_json(path: Path, value: Any, **options: Any) -> None:
            if path.name == work.ABOUT and path.parent.name.startswith(f".{stage}."):
                then()
            plain(path, value, **options)

        patch.setattr(store, "write_json", write_json)

    return put


POINTS: tuple[tuple[Callable[[pytest.MonkeyPatch], None], int], ...] = (
    (in_copy(), 0),
    (in_step("sft", 3), 0),
    (before("dpo"), 1),
    (in_copy(), 1),
    (in_step("dpo", 2), 1),
    (before("style-sft"), 2),
    (in_move("style-sft"), 2),
    (in_copy(), 3),
    (in_step("style-dpo", 1), 3),
)
"""Where a ladder is killed, one after the other, and how many stages are finished then."""


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and prompts."""
    place = tmp_path_factory.mktemp("given")
    tiny_model_folder(place / "model")
    write(place / "prompts.csv", make_triples(20).prompts)
    return place


@pytest.fixture(scope="module")
def unbroken(given: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, "Counter[str]"]]:
    """What a run leaves that nobody stopped, and the steps that it made."""
    out = tmp_path_factory.mktemp("unbroken") / "ladder"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        quick(patch)
        run = steps_run(patch)
        result = climb(given, out)
        assert result.exit_code == 0, result.output
    yield out, run


def finished(out: Path) -> list[str]:
    """The stages that have their place; every one of them says what it is."""
    there = [path for path in out.iterdir() if path.is_dir() and path.name in STAGES] if out.exists() else []
    assert all((path / work.ABOUT).is_file() for path in there)
    return sorted((path.name for path in there), key=STAGES.index)


def test_a_ladder_that_was_killed_many_times_ends_as_an_unbroken_one(
    given: Path, unbroken: tuple[Path, "Counter[str]"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, steps = unbroken
    assert set(steps) == {*STAGES} and min(steps.values()) > 3
    quick(monkeypatch)
    run, out = steps_run(monkeypatch), tmp_path / "ladder"
    for point, stages in POINTS:
        with monkeypatch.context() as patch, pytest.raises(Killed):
            point(patch)
            climb(given, out)
        assert finished(out) == [*STAGES[:stages]]
    result = climb(given, out)
    assert result.exit_code == 0, result.output
    assert files(out) == files(whole)
    assert run == {stage: n + 1 for stage, n in steps.items()}, "of each stage, the step that was lost was made again"


KILLED = """
import os, signal, sys
from pathlib import Path
import pytest
import test_ladder_resumed as here

with pytest.MonkeyPatch.context() as patch:
    here.quick(patch)
    here.in_move("dpo", lambda: os.kill(os.getpid(), signal.SIGKILL))(patch)
    here.climb(*map(Path, sys.argv[1:]))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_what_a_kill_leaves_half_written_is_no_stage_and_goes(
    given: Path, unbroken: tuple[Path, "Counter[str]"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed by the system: nothing is tidied up. A copy of weights that was cut short lies there, too."""
    out, tests = tmp_path / "ladder", str(Path(__file__).parent)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([tests, *sys.path]), "TMPDIR": str(tmp_path)}
    line = [sys.executable, "-c", KILLED, str(given), str(out)]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (half,) = out.glob(".dpo.*.partial")
    assert (half / "adapter_model.safetensors").is_file() and finished(out) == ["sft"]
    shutil.copytree(half, out / "bases" / ".0123456789abcdef.0123abcd.partial")
    quick(monkeypatch)
    result = climb(given, out)
    assert result.exit_code == 0, result.output
    assert files(out) == files(unbroken[0])


def without_its_word(stage: Path) -> None:
    (stage / work.ABOUT).unlink()


def word_cut_short(stage: Path) -> None:
    (stage / work.ABOUT).write_bytes((stage / work.ABOUT).read_bytes()[:99])


def weights_cut_short(stage: Path) -> None:
    weights = stage / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-99])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (without_its_word, "dpo exists already: choose another folder, or remove it"),
        (word_cut_short, "finetuned.json"),
        (weights_cut_short, "the adapter is damaged"),
    ],
)
def test_a_damaged_stage_is_named_and_trained_again_once_it_is_removed(
    given: Path,
    unbroken: tuple[Path, "Counter[str]"],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], None],
    says: str,
) -> None:
    whole, steps = unbroken
    out = shutil.copytree(whole, tmp_path / "ladder")
    quick(monkeypatch)
    damage(out / "dpo")
    run = steps_run(monkeypatch)
    told(climb(given, out), "error: ", str(out / "dpo"), says)
    assert not run, "and nothing was trained"
    shutil.rmtree(out / "dpo")
    assert climb(given, out).exit_code == 0
    assert run == {"dpo": steps["dpo"]} and files(out) == files(whole)
