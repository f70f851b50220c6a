"""Does the model still recognise the very text that it can no longer write?"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from . import shared
from .printed import print_frame
from .shared import DEFAULT_MODEL, Device, Dtype, Judged, JudgePrompt, Model, Prompts, Seed, Triples, told_errors, writable
from .written import write_claim


def dissociated(
    model: Model = DEFAULT_MODEL,
    prompts: Prompts = None,
    out: Annotated[
        Path, typer.Option(help="Folder for dissociated.html, dissociated.json, figures, and what is finished.")
    ] = Path("out/dissociated"),
    seed: Seed = 0,
    device: Device = None,
    dtype: Dtype = "float32",
    judge: Judged = None,
    judge_prompt: JudgePrompt = None,
    grain: Annotated[
        list[str] | None,
        typer.Option(
            help="'heads and neurons', heads, neurons or weights; again for several: the first decides. All by default."
        ),
    ] = None,
    triples: Triples = None,
    quick: Annotated[bool, typer.Option("--quick", help="Smaller numbers: a trial, hardly ever a decision.")] = False,
) -> None:
    """Switch off what writes harm, and read whether the same tokens are still recognised; at every grain, with controls."""
    shared.check_dtype(dtype)
    shared.check_judge(judge, judge_prompt)
    from ..claims.dissociated import GRAINS, cost
    from ..claims.dissociated import dissociated as run
    from ..claims.dissociated.aims import EXPLAINED
    from ..claims.paper.sizes import QUICK
    from ..prompts.readers import load_prompts

    with told_errors(), shared.processes() as group:
        settings = shared.claim_settings(quick=quick, seed=seed, triples=triples)
        chosen, explained = tuple(grain or GRAINS), QUICK["dissociated"]["explained"] if quick else EXPLAINED
        conditions = cost(grains=chosen, explained=explained, settings=settings)
        read = load_prompts(prompts)
        with writable(out, "dissociated"):
            read_by = shared.validated(judge, judge_prompt, device)
            loaded = shared.load(model, device, dtype)
            typer.echo(f"At most {conditions} conditions to read on at most {settings.test_triples} test triples.")
            found = run(
                loaded,
                read,
                grains=chosen,
                explained=explained,
                settings=settings,
                judge=read_by,
                folder=out,
                name=model,
                reproduce=shared.command_line(sys.argv),
                progress=group.first,
            )
            if not group.first:
                return
            written = write_claim(found, out)
    print_frame(found.table().drop(columns="why"), title=found.ASKS)
    typer.echo(found.sentence)
    for limit in found.limits:
        typer.echo(f"  · {limit}")
    typer.echo(written)
