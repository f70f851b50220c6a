"""The main job from a shell."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import shared
from .report import print_result
from .shared import DEFAULT_MODEL, Device, Dtype, Judged, JudgePrompt, Model, Prompts, Seed, told_errors, writable

if TYPE_CHECKING:
    from ..prompts.promptset import PromptSet


def dissociate(
    model: Model = DEFAULT_MODEL,
    prompts: Prompts = None,
    out: Annotated[Path, typer.Option(help="Folder for report.json, report.html, outcomes.csv, circuits and scores.")] = Path(
        "out/dissociate"
    ),
    seed: Seed = 0,
    device: Device = None,
    dtype: Dtype = "float32",
    quick: Annotated[bool, typer.Option("--quick", help="Smaller numbers: estimates and intervals, no p values.")] = False,
    crossed: Annotated[bool, typer.Option("--crossed", help="Also aim at explanation, and cross aims with tasks.")] = False,
    attack: Annotated[
        str, typer.Option(help="none, prefill, or prefill:K (K tokens of it): what is put in the model's mouth.")
    ] = "prefill",
    judge: Judged = None,
    judge_prompt: JudgePrompt = None,
    show_responses: Annotated[bool, typer.Option("--show-responses", help="Put what the model wrote on the page.")] = False,
) -> None:
    """Find what writes harm, switch it off, and measure writing and recognising with and without it."""
    shared.check_dtype(dtype)
    shared.check_judge(judge, judge_prompt)
    from dataclasses import replace

    from ..experiments.dissociation import dissociate as run
    from ..experiments.settings import Settings
    from ..tasks.attacks import prefill_tokens

    with told_errors():
        settings = Settings.quick(seed=seed) if quick else Settings(seed=seed)
        settings = replace(settings, prefill_tokens=prefill_tokens(attack))
        train, development, test = shared.splits(prompts, seed)
        with writable(out):
            read_by = shared.validated(judge, judge_prompt, device)
            loaded = shared.load(model, device, dtype)
            typer.echo(_before(test, settings))
            result = run(
                loaded,
                None,
                test,
                train=train,
                development=development,
                settings=settings,
                crossed=crossed,
                judge=read_by,
                folder=out,
                name=model,
                reproduce=shared.command_line(sys.argv),
                progress=True,
            )
            result.save(out, show_responses=show_responses)
    print_result(result.report, result.table(), out)


def _before(test: "PromptSet", settings: Any) -> str:
    from ..experiments.evidence import sensitivity

    return sensitivity(min(len(test.triples), settings.test_triples), settings)
