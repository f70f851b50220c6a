"""Whether bad advice in one domain misaligns broadly, and what pruning first does to it."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from . import shared
from .shared import (
    DEFAULT_MODEL,
    Device,
    Dtype,
    Model,
    Prompts,
    Seed,
    Triples,
    told_errors,
    writable,
)

SHOWN = ["advice", "pruned", "asked", "read", "value", "low", "high", "n"]


def misalignment(
    model: Model = DEFAULT_MODEL,
    prompts: Prompts = None,
    out: Annotated[Path, typer.Option(help="Folder for misalignment.html, misalignment.json, and what is finished.")] = Path(
        "out/misalignment"
    ),
    seed: Seed = 0,
    device: Device = None,
    dtype: Dtype = "float32",
    triples: Triples = None,
    domain: Annotated[
        list[str] | None,
        typer.Option(help="A domain that is learnt (money, habits, sport, home), may be repeated; all of them."),
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            help="'bad advice' and 'good advice', and what is pruned before bad advice: 'harmful requests', random, "
            "magnitude …; may be repeated; all of them, with --quick five."
        ),
    ] = None,
    train: Annotated[int, typer.Option(help="Questions of a domain that are learnt from; the others are asked.")] = 200,
    ask: Annotated[
        int | None, typer.Option(help="Of each domain that is not learnt, at most so many are asked; all, with --quick 34.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Fine-tunings of each arm; at least 3 for intervals.")] = 3,
    answers: Annotated[
        int | None,
        typer.Option(help="Questions of each domain that are answered freely without pruning; 4, with --quick 2; 0: none."),
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="How often all lessons are learnt; 2.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The highest of each fine-tuning; 0.0003.")] = None,
    weight_q: Annotated[
        float | None, typer.Option(help="Of each matrix, the share of largest A that is pruned; 0.0003.")
    ] = None,
    weight_p: Annotated[
        float | None, typer.Option(help="And the share of largest U that is spared: the lower, the larger the mask; 0.006.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One domain, fewer arms, and smaller numbers.")] = False,
) -> None:
    """Fine-tune on bad advice in one domain, after pruning and without: does bad advice become likelier everywhere?"""
    shared.check_dtype(dtype)
    from ..claims.misalignment import QUICK, RECIPE, Plan, emergent_misalignment
    from ..data import load_prompts

    with told_errors():
        sizes: dict[str, Any] = {"train": train, "seeds": seeds, **(QUICK if quick else {})}
        if arm:
            sizes["arms"] = tuple(arm)
        if domain:
            sizes["domains"] = tuple(domain)
        sizes |= shared.given(answers=answers, ask=ask)
        recipe = replace(RECIPE, **shared.given(epochs=epochs, learning_rate=learning_rate))
        n_models, read = len(Plan(**sizes).runs()), load_prompts(prompts)
        settings = shared.claim_settings(quick=quick, seed=seed, triples=triples)
        settings = replace(settings, **shared.given(weight_q=weight_q, weight_p=weight_p))
        with writable(out):
            loaded = shared.load(model, device, dtype)
            typer.echo(f"At most {n_models} models are fine-tuned; what is read of finished ones is kept in {out}.")
            found = emergent_misalignment(
                loaded,
                recipe=recipe,
                prompts=read,
                settings=settings,
                folder=out,
                name=model,
                reproduce=shared.command_line(sys.argv),
                progress=True,
                **sizes,
            )
            found.save(out)
    table = found.table()
    frames = {
        "Rise of the log-odds of bad advice, nats per token; 95 % intervals": table[table["learnt"] == "all"][SHOWN],
    }
    shared.print_claim(found, out, frames)
