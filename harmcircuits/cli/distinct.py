"""Is the circuit that writes harm another one than those of benign capabilities?"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from . import shared
from .shared import DEFAULT_MODEL, Device, Dtype, Judged, JudgePrompt, Model, Prompts, Seed, Triples, told_errors, writable

SHOWN = ["condition", "task", "value", "low", "high", "drop", "p_adjusted", "n"]
OVERLAPS = ["one", "other", "jaccard", "chance", "ceiling", "share", "low", "high"]


def distinct(
    model: Model = DEFAULT_MODEL,
    prompts: Prompts = None,
    out: Annotated[Path, typer.Option(help="Folder for distinct.html, distinct.json, and what is finished.")] = Path(
        "out/distinct"
    ),
    seed: Seed = 0,
    device: Device = None,
    dtype: Dtype = "float32",
    judge: Judged = None,
    judge_prompt: JudgePrompt = None,
    triples: Triples = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer triples, sentences and draws.")] = False,
) -> None:
    """Compare the circuit of harm with those of facts, arithmetic and grammar: their parts, and what falls without each."""
    shared.check_dtype(dtype)
    shared.check_judge(judge, judge_prompt)
    from ..claims.distinct import distinct as measure
    from ..data import load_prompts

    with told_errors():
        settings = shared.claim_settings(quick=quick, seed=seed, triples=triples)
        read = load_prompts(prompts)
        with writable(out):
            read_by = shared.validated(judge, judge_prompt, device)
            found = measure(
                shared.load(model, device, dtype),
                read,
                draws=60 if quick else 200,
                settings=settings,
                judge=read_by,
                folder=out,
                name=model,
                reproduce=shared.command_line(sys.argv),
                progress=True,
            )
            found.save(out)
    frames = {
        "What falls without each circuit: standardised effect d; 95 % intervals": found.tables["effects"][SHOWN],
        "Overlap of circuits; share: of what one aim has in common with itself": found.tables["overlaps"][OVERLAPS],
    }
    shared.print_claim(found, out, frames)
