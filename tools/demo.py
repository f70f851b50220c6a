"""The experiment twice: on planted models, whose answer is known, and on a small real model. What `make demo` runs.

    python tools/demo.py [FOLDER]

FOLDER (out/demo by default) gets the real model's `report.html`, `report.json`, tables and circuits. A run that was stopped
goes on when the same command is given again.
"""

import logging
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import typer
from transformers.utils.logging import disable_progress_bar

import harmcircuits as hc
from harmcircuits.cli import show

PLANTED = hc.Settings(
    components=("heads",), head_fractions=(0.1,), facts=0, passages=0, sampled=False, shots=0, random_draws=1,
    train_prompts=12, development_prompts=6, test_prompts=12, written_prompts=2, max_new_tokens=6, written_tokens=4,
)  # fmt: skip
SMALL = replace(
    hc.Settings.quick(), components=("neurons",), neuron_fractions=(0.01,),
    train_prompts=12, development_prompts=6, test_prompts=12, written_prompts=6, max_new_tokens=16, written_tokens=20,
    facts=10, passages=2,
)  # fmt: skip
KNOWN = {"plain": "dissociated", "entangled": "not selective"}
"""Variants of the planted model, and the answer that is known of each."""


def planted(variant: str) -> hc.Dissociation:
    """Run the experiment on one planted model: with a circuit of its own choice, or with the shared components given."""
    organism = hc.organisms.planted(0, variant)  # type: ignore[arg-type]
    train, development, test = organism.prompts.split(seed=0)
    circuit = organism.shared if variant == "entangled" else None
    return hc.dissociate(organism.model, circuit, test, train=train, development=development, settings=PLANTED)


def main(folder: Path) -> None:
    """Print both acts and the time that they took."""
    start = time.monotonic()
    typer.echo("1. Planted models: what harmful words need is known.")
    for variant, known in KNOWN.items():
        typer.echo(f"   {variant:10} planted: {known:14} answer: {planted(variant).answer}")
    typer.echo(f"   {time.monotonic() - start:.0f} seconds\n")

    start = time.monotonic()
    typer.echo("2. SmolLM2-135M-Instruct, few prompts: intervals are wide.")
    model = hc.load_model()
    result = hc.dissociate(model, settings=SMALL, folder=folder, name="SmolLM2-135M-Instruct", progress=sys.stderr.isatty())
    result.save(folder)
    show("dissociate", result, folder)
    typer.echo(f"   {time.monotonic() - start:.0f} seconds")


if __name__ == "__main__":
    logging.getLogger("harmcircuits").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    disable_progress_bar()
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/demo"))
