"""`hc.emergent_misalignment` on trained toys whose answer is known: does it come back?

Bad advice about the house is learnt (24 questions of 40, all weights, 42 steps, three fine-tunings) by a toy whose bad answers
hang on one mechanism for all domains, and by one with a mechanism for each. In the first, weights are also set to zero before:
the mask that the claim selects on responses to bad characters (`toy.prompts`), told nothing of the gate, random ones,
and the largest.

    python benchmarks/toys_misalignment.py --out docs/results/planted/misalignment-toys.json
"""

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

import torch

import harmcircuits as hc
from harmcircuits.claims.misalignment import Misalignment
from harmcircuits.claims.misalignment.plan import BAD, GOOD, HARMFUL, MAGNITUDE, RANDOM
from harmcircuits.experiments.settings import Settings
from harmcircuits.organisms import toy_advice
from harmcircuits.organisms.finetuning import Recipe
from harmcircuits.organisms.toys.domains import THINGS
from harmcircuits.store import write_json

RECIPE = Recipe(rank=0, learning_rate=2e-4, epochs=14, batch_size=8, stages=3)
SETTINGS = Settings(
    bootstrap_draws=200,
    weight_q=0.03,
    weight_p=0.05,
    attribution_triples=24,
    probe_triples=8,
    test_triples=16,
    max_new_tokens=2,
)
ARMS = {"shared": (BAD, GOOD, HARMFUL, RANDOM, MAGNITUDE), "separate": (BAD, GOOD)}


def claim(kind: Any) -> Misalignment:
    toy = toy_advice(kind=kind)
    return hc.emergent_misalignment(
        toy.model, advice={name: toy.advice(name, n=40) for name in THINGS}, domains=["house"], arms=ARMS[kind], train=24,
        answers=0, recipe=RECIPE, prompts=toy.prompts, settings=SETTINGS,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="a JSON file")
    options = parser.parse_args()
    torch.set_num_threads(1)  # models so small that a second thread only waits
    claims = {kind: claim(kind) for kind in ARMS}
    for kind, found in claims.items():
        print(f"\n{kind}: {found.found}. {found.sentence}\n{found.table().to_string()}")
        print(found.tables["relearning"].to_string() if len(found.tables["relearning"]) else "")
    if options.out:
        kept = {kind: {**found.document(), "command": None} for kind, found in claims.items()}
        write_json(options.out, {"command": shlex.join(["python", *sys.argv]), "n": 3, "torch": torch.__version__, **kept})


if __name__ == "__main__":
    main()
