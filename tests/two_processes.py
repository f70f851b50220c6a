"""What a launcher starts in each of two processes: readings that are shared, what goes wrong in one of them, and a command.

    python -m torch.distributed.run --standalone --nproc_per_node 2 tests/two_processes.py FOLDER

FOLDER has a `model`, `prompts.csv`, and in `one` a run of the command by one process, with its cache beside it. Each process
writes what it has into `readings-RANK.json`.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import shell
import torch
from shell import small, small_claims
from triples import OWN, make_triples

import harmcircuits as hc
from harmcircuits import cli, store
from harmcircuits.attribution.scores import AttributionError
from harmcircuits.processes import Group, several_processes
from harmcircuits.tasks.formats import QUESTIONS, SHOT_FORMATS, usable
from harmcircuits.tasks.probe import place_residuals
from harmcircuits.tasks.probe_layers import layer_probes
from harmcircuits.tasks.teacher_forced import teacher_forced
from harmcircuits.tasks.utility import utility

PROMPTS = make_triples(4).prompts  # in batches of 5 the last turn of two processes has one batch
ANSWERED = [hc.Example(request=prompt.request, response=" A plain answer.") for prompt in PROMPTS]
SIZE = 5


def readings(model: Any) -> dict[str, Any]:
    """Everything that is dealt out, as plain values, which JSON keeps to the last bit."""
    ids = lambda examples: [example.response_ids for example in examples]
    sampled = hc.elicit(model, PROMPTS, max_new_tokens=6, batch_size=SIZE)
    examples = hc.elicit(model, PROMPTS, max_new_tokens=6, temperature=0, batch_size=SIZE)
    A = hc.attribute(model, examples, batch_size=SIZE)
    circuit = hc.select(A, heads=2, neurons=5)
    question = usable(model, QUESTIONS)[0]
    shots = hc.make_shots(PROMPTS, replace(usable(model, SHOT_FORMATS)[0], n_shots=4), draws=2)
    forced = teacher_forced(model, sampled, {"intact": None, "own": OWN}, question=question, batch_size=SIZE)
    residuals = place_residuals(model, sampled, question, [0, 1], batch_size=SIZE)
    return {
        "sampled": ids(sampled),
        "greedy": ids(examples),
        "heads": A.per_example_heads.tolist(),
        "neurons": A.per_example_neurons.tolist(),
        "tokens": [part.tolist() for part in A.tokens or ()],
        "circuit": [circuit.heads, circuit.neurons],
        "loss": hc.loss(model, sampled, batch_size=SIZE).tolist(),
        "integrated": hc.integrated_attribution(model, examples, steps=2, batch_size=SIZE).per_example_heads.tolist(),
        **in_one_pass(model, examples),
        "written": ids(hc.generate(model, PROMPTS, OWN, max_new_tokens=6, batch_size=SIZE)),
        "written each": [ids(own) for own in hc.generate_each(model, PROMPTS[:4], [None, OWN], max_new_tokens=4, batch_size=3)],
        "forced": forced.to_dict("list"),
        "residuals": {place: values.tolist() for place, values in residuals.items()},
        "many-shot": hc.many_shot(model, PROMPTS, shots, batch_size=SIZE).tolist(),
        "facts": utility(model, n_facts=6, n_passages=3, batch_size=2).to_dict("list"),
        "layers": layer_probes(model, PROMPTS[:6], PROMPTS[6:], {"intact": None}, batch_size=SIZE).scores.tolist(),
    }


def in_one_pass(model: Any, examples: Sequence[hc.Example]) -> dict[str, Any]:
    """What several circuits on one example are read by."""
    return {
        "exact": hc.exact_attribution(model, examples[:5]).per_example_heads.tolist(),
        "sweep": hc.sweep(model, [None, OWN], examples, batch_size=SIZE).tolist(),
    }


def weights(model: Any) -> dict[str, Any]:
    """Sums over batches, and what is selected by them; in two blocks of layers."""
    examples = hc.elicit(model, PROMPTS, max_new_tokens=6, temperature=0, batch_size=SIZE)
    how = {"benign": examples[4:], "batch_size": 3, "max_memory": 60_000}
    W = hc.attribute_weights(model, examples[:4], **how)
    mask = hc.select_weights(W, q=0.02, p=0.02)
    plain = lambda scores: {name: values.tolist() for name, values in scores.items()}
    return {"signed": plain(W.signed), "absolute": plain(W.absolute), "mask": plain(mask.indices)}


def smaller_device(model: Any, group: Group) -> dict[str, Any]:
    """The second process has no memory for more than two rows: it reads in halves, and scores no weights."""

    def block(residual: torch.Tensor, hook: Any) -> None:
        if group.rank == 1 and len(residual) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    with model.hooks(fwd_hooks=[("blocks.0.hook_resid_pre", block)]):
        losses = hc.loss(model, ANSWERED, batch_size=SIZE).tolist()
        return {"loss": losses, "weights": told(lambda: hc.attribute_weights(model, ANSWERED, batch_size=SIZE))}


def told(call: Callable[[], object]) -> str:
    """The error of a call: its type and text."""
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "none"


def faults(model: Any, group: Group) -> dict[str, str]:
    """What each process meets when the second one does something else than the first."""

    def failing(error: Exception) -> Callable[..., torch.Tensor]:
        def metric(logits: torch.Tensor, batch: Any) -> torch.Tensor:
            if group.rank == 1:
                raise error
            return batch.mean_over_rows(logits[:, 0].float())

        return metric

    attribute = lambda error: hc.attribute(model, ANSWERED, metric=failing(error), batch_size=SIZE)
    return {
        "of ours": told(lambda: attribute(AttributionError("this score is broken"))),
        "foreign": told(lambda: attribute(ZeroDivisionError("words of the second alone"))),
        "other examples": told(lambda: hc.loss(model, ANSWERED[: 12 - group.rank], batch_size=SIZE)),
        "after them": told(lambda: hc.loss(model, ANSWERED, batch_size=SIZE)),
    }


def ends_early(model: Any, rank: int) -> None:
    """The second process fails by itself, while the first waits for its share."""
    with several_processes():
        if rank == 1:
            raise ValueError("words of the second alone")
        hc.loss(model, ANSWERED)


def command(folder: Path, *arguments: str) -> object:
    """`harmcircuits dissociate --quick` on the tiny model, in seconds."""
    with pytest.MonkeyPatch.context() as patch:
        small(patch)
        patch.setattr(sys, "argv", ["harmcircuits", "dissociate"])
        own = ["--model", folder / "model", "--prompts", folder / "prompts.csv", "--device", "cpu"]
        words = ["dissociate", "--quick", *map(str, own), *arguments]
        return cli.app(words, standalone_mode=False)


CLAIMS: dict[str, Sequence[str]] = {**shell.CLAIMS, "paper": ("--claims", "generality,compactness")}
LADDER = {"alignment": ("model", "later", "--names", "base,later", "--grains", "neurons", "--points", "2")}
"""Folders of two stages, and options."""


def claims(folder: Path, out: Path) -> list[object]:
    """Every claim about the tiny model, in seconds, into one folder; then how it differs from a later stage."""
    with pytest.MonkeyPatch.context() as patch:
        small_claims(patch)
        how = ["--prompts", folder / "prompts.csv", "--device", "cpu", "--out", out]
        own = ["--model", folder / "model", *how]
        found = []
        for name, options in CLAIMS.items():
            patch.setattr(sys, "argv", ["harmcircuits", name])
            found.append(cli.app([name, "--quick", *options, *map(str, own)], standalone_mode=False))
        patch.setattr(sys, "argv", ["harmcircuits", "alignment"])
        patch.chdir(folder)
        found.append(cli.app(["alignment", "--quick", *LADDER["alignment"], *map(str, how)], standalone_mode=False))
        return found


def main(folder: Path) -> None:
    rank = int(os.environ["RANK"])
    model = hc.load_model(folder / "model", device="cpu")
    with several_processes() as group:
        assert (group.rank, group.size, group.first) == (rank, 2, rank == 0)
        found: dict[str, Any] = {"readings": readings(model), "weights": weights(model)}
        found |= {"again": readings(model)["greedy"], "faults": faults(model, group)}
        found |= {"whole": hc.loss(model, ANSWERED, batch_size=SIZE).tolist(), "smaller": smaller_device(model, group)}
    found["ends early"] = told(lambda: ends_early(model, rank))
    found["run"] = command(folder, "--out", str(folder / "two"))
    os.environ[store.CACHE_VARIABLE] = str(folder / "cache of one")
    found["resumed"] = command(folder, "--out", str(folder / "one"))
    found["refused"] = command(folder, "--out", str(folder / "other"), "--attack", "prefill:x")
    os.environ[store.CACHE_VARIABLE] = str(folder / "cache of two")
    found["claims"] = claims(folder, folder / "claims of two")
    (folder / f"readings-{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
