"""An aligned ladder and its control, trained from a model."""

import shlex
from dataclasses import replace
from pathlib import Path
from shutil import disk_usage
from typing import Annotated, Any

import typer

from . import shared
from .shared import DEFAULT_MODEL, Autocast, Device, Dtype, Model, Prompts, Seed, told_errors, writable


def ladder(
    model: Model = DEFAULT_MODEL,
    prompts: Prompts = None,
    out: Annotated[Path, typer.Option(help="Folder of the checkpoints: sft, dpo, style-sft, style-dpo.")] = Path("out/ladder"),
    seed: Seed = 0,
    device: Device = None,
    dtype: Dtype = "float32",
    autocast: Autocast = False,
) -> None:
    """Train a model to refuse what is harmful (sft), then to prefer that (dpo); and, as a control, twice in style alone.

    Learns from the training split of --seed alone, in float32. Needs the extra `finetune`. Stopped and called again, it goes
    on where it was.
    """
    shared.check_dtype(dtype)
    from ..organisms.aligned import DPO, SFT, aligned_ladder, disk_bytes, seconds, style_ladder
    from ..organisms.finetuning import check_trainable

    recipes: dict[str, Any] = {"sft": replace(SFT, autocast=autocast), "dpo": replace(DPO, autocast=autocast)}
    with told_errors(), writable(out):
        learnt, *_ = shared.splits(prompts, seed)
        base = shared.load(model, device, dtype)
        check_trainable(base)
        needed, free = disk_bytes(base) / 1e9, disk_usage(out).free / 1e9
        typer.echo(f"about {needed:,.1f} GB will be kept in {out}, where {free:,.1f} GB are free")
        typer.echo(f"first the model answers {3 * len(learnt.triples)} requests; how long training takes is told after that")
        left = seconds(base, learnt, seed=seed, folder=out, progress=True, **recipes)
        typer.echo(f"about {left / 60:.0f} minutes of training, on this machine")
        how: dict[str, Any] = {"seed": seed, "folder": out, "progress": True, "tell": typer.echo}
        stages, control = (
            [str(own.folder) for own in train(base, learnt, **how, **recipes).values()]
            for train in (aligned_ladder, style_ladder)
        )
    typer.echo(f"Checkpoints: {', '.join((*stages, *control))}")
    then = ["harmcircuits", "alignment", model, *stages, "--control", f"style only={','.join(control)}"]
    for option, given, default in (("--prompts", prompts, None), ("--seed", seed, 0), ("--device", device, None)):
        then += [] if given == default else [option, str(given)]  # another seed or other prompts: the test split was trained on
    typer.echo(f"Measure them: {shlex.join(then)}")
