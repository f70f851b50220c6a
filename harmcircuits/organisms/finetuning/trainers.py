"""trl's trainers, given token ids that are laid out already, and kept from telling anybody.

Imported by `train` alone, when something is trained: trl, peft and datasets are an extra.
"""

from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PrinterCallback,
    ProgressCallback,
    TrainerCallback,
    TrainingArguments,
)
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from .lessons import Tokens
from .recipe import WARM_UP, Recipe

Keep = Callable[[int, Any], None]
"""What is done with the trainer's model after a step."""
IGNORED = -100
"""The label of a token whose loss does not count."""


class _Silent:
    """Of a trainer: trl otherwise reports each use to its hub."""

    def _send_telemetry(self) -> None: ...


class Supervised(_Silent, SFTTrainer):  # type: ignore[misc]
    pass


class Preferring(_Silent, DPOTrainer):  # type: ignore[misc]
    def _prepare_dataset(self, dataset: Dataset, *args: Any) -> Dataset:
        return dataset  # trl would tokenise texts, control tokens in them included


class AtSteps(TrainerCallback):  # type: ignore[misc]
    """Calls `keep` after the steps `kept`."""

    def __init__(self, keep: Keep, kept: Sequence[int]) -> None:
        self.keep, self.kept = keep, frozenset(kept)

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        step = int(state.global_step)
        if step in self.kept:
            self.keep(step, more["model"])


class Bar(ProgressCallback):  # type: ignore[misc]
    """transformers' bar, without the line that it prints of every step."""

    def on_log(self, *args: Any, **more: Any) -> None: ...


def trainer(
    base: Path,
    lessons: Sequence[Tokens],
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device,
    keep: Keep,
    kept: Sequence[int],
    progress: bool = False,
) -> Any:
    """A trainer ready to `.train()`.

    Args:
        base: a transformers folder with a tokenizer: the float32 weights that it starts from.
        lessons: what is learnt.
        recipe: how.
        seed: of the adapter's first weights and of the order of lessons.
        device: where it is trained.
        keep: is called after each of the steps `kept`.
        kept: see there.
        progress: shows the trainer's bar.
    """
    net = AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.float32, attn_implementation="eager", use_safetensors=True, trust_remote_code=False
    )
    whole = {
        "model": net,
        "processing_class": AutoTokenizer.from_pretrained(base, trust_remote_code=False),
        "train_dataset": Dataset.from_list([_row(one, recipe.method) for one in lessons]),
        "peft_config": _lora(recipe) if recipe.rank else None,
        "callbacks": [AtSteps(keep, kept)],
    }
    settings = _settings(recipe, recipe.steps(len(lessons)), seed=seed, device=device, progress=progress, folder=base)
    if recipe.method == "sft":
        made = Supervised(args=_alone(SFTConfig(**settings, dataset_kwargs={"skip_prepare_dataset": True})), **whole)
    else:
        made = Preferring(args=_alone(DPOConfig(**settings, **_preferences(recipe))), **whole)
    made.remove_callback(ProgressCallback if progress else PrinterCallback)
    if progress:
        made.add_callback(Bar)
    return made


def _preferences(recipe: Recipe) -> dict[str, Any]:
    weighed = {"sigmoid": 1.0, "sft": recipe.chosen_weight}
    losses = [name for name, weight in weighed.items() if weight]
    return {"beta": recipe.beta, "loss_type": losses, "loss_weights": [weighed[name] for name in losses]}


def _row(one: Tokens, method: str) -> dict[str, list[int]]:
    if method == "sft":
        return {"input_ids": [*one.prompt, *one.response], "labels": [IGNORED] * len(one.prompt) + list(one.response)}
    return {"prompt_ids": list(one.prompt), "chosen_ids": list(one.response), "rejected_ids": list(one.rejected)}


def _lora(recipe: Recipe) -> LoraConfig:
    """ "all-linear" leaves out the unembedding."""
    return LoraConfig(
        r=recipe.rank, lora_alpha=recipe.alpha, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )


def _alone(args: TrainingArguments) -> TrainingArguments:
    """`args` for one GPU: transformers would spread every batch over all that it sees."""
    if args.n_gpu > 1:
        args._n_gpu = 1
    return args


def _settings(recipe: Recipe, steps: int, *, seed: int, device: torch.device, progress: bool, folder: Path) -> dict[str, Any]:
    """`folder`: nothing is written there."""
    return {
        "output_dir": str(folder),
        "max_steps": steps,
        "per_device_train_batch_size": recipe.batch_size,
        "learning_rate": recipe.learning_rate,
        "warmup_steps": ceil(WARM_UP * steps),
        "seed": seed,
        "max_length": None,  # `tokens_of` has refused longer ones
        "bf16": False,  # trl's default would be half precision
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",  # `AtSteps` keeps what is kept
        "report_to": "none",
        "disable_tqdm": not progress,
        "use_cpu": device.type == "cpu",
        "dataloader_pin_memory": device.type == "cuda",
    }
