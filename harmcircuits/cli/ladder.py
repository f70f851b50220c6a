"""An aligned ladder and its control, trained from a model."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from . import shared
from .shared import DEFAULT_MODEL, Device, Dtype, Model, Prompts, Seed, told_errors, writable


def ladder(
    model: Model = DEFAULT_MODEL,
    prompts: Prompts = None,
    out: Annotated[Path, typer.Option(help="Folder of the checkpoints: sft, dpo, style-sft, style-dpo.")] = Path("out/ladder"),
    seed: Seed = 0,
    device: Device = None,
    dtype: Dtype = "float32",
) -> None:
    """Train a model to refuse what is harmful (sft), then to prefer that (dpo); and, as a control, twice in style alone.

    Learns from the training split of --seed alone, in float32. Needs the extra `finetune`. Called again, it does not train
    again what is finished.
    """
    shared.check_dtype(dtype)
    from ..organisms.aligned import aligned_ladder, style_ladder
    from ..organisms.finetuning import check_trainable

    with told_errors(), writable(out):
        learnt, *_ = shared.splits(prompts, seed)
        base = shared.load(model, device, dtype)
        check_trainable(base)
        typer.echo(f"first the model answers {3 * len(learnt.triples)} requests")
        how: dict[str, Any] = {"seed": seed, "folder": out, "progress": True}
        stages, control = (
            [str(own.folder) for own in train(base, learnt, **how).values()] for train in (aligned_ladder, style_ladder)
        )
    typer.echo(f"Checkpoints: {', '.join((*stages, *control))}")
    then = ["harmcircuits", "alignment", model, *stages, "--control", f"style only={','.join(control)}"]
    for option, given, default in (("--prompts", prompts, None), ("--seed", seed, 0), ("--device", device, None)):
        then += [] if given == default else [option, str(given)]  # another seed or other prompts: the test split was trained on
    typer.echo(f"Measure them: {shlex.join(then)}")
