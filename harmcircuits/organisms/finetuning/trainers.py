"""trl's trainers, given token ids that are laid out already, and kept from telling anybody.

Imported by `train` alone, when something is trained: trl, peft and datasets are an extra.
"""

from collections.abc import Callable, Sequence
from math import ceil
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

from .job import Job
from .lessons import Tokens
from .recipe import WARM_UP, Recipe

Keep = Callable[[int, Any], None]
"""What is done with the trainer's model after a step."""
IGNORED = -100
"""The label of a token whose loss does not count."""


class _Silent:
    """Of a trainer: trl otherwise reports each use to its hub, and writes a page about every checkpoint."""

    def _send_telemetry(self) -> None: ...

    def create_model_card(self, *args: Any, **options: Any) -> None: ...


class Supervised(_Silent, SFTTrainer):  # type: ignore[misc]
    pass


class Preferring(_Silent, DPOTrainer):  # type: ignore[misc]
    def _prepare_dataset(self, dataset: Dataset, *args: Any) -> Dataset:
        return dataset  # trl would tokenise texts, control tokens in them included


class AtSteps(TrainerCallback):  # type: ignore[misc]
    """Calls `keep` after the steps `kept`, and lets the trainer write a checkpoint after every `every`."""

    def __init__(self, keep: Keep, kept: Sequence[int], every: int) -> None:
        self.keep, self.kept, self.every = keep, frozenset(kept), every

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        step = int(state.global_step)
        if step in self.kept:
            self.keep(step, more["model"])
        control.should_save = step % self.every == 0 and step < state.max_steps


class Bar(ProgressCallback):  # type: ignore[misc]
    """transformers' bar, without the line that it prints of every step."""

    def on_log(self, *args: Any, **more: Any) -> None: ...


def trainer(job: Job, keep: Keep, kept: Sequence[int]) -> Any:
    """The trainer of a job, ready to `.train()`: `keep` is called after each of the steps `kept`."""
    own: dict[str, Any] = {"dtype": job.dtype, "attn_implementation": "eager", "use_safetensors": True}
    base = AutoModelForCausalLM.from_pretrained(job.base, **own, trust_remote_code=False)
    whole = {
        "model": base,
        "processing_class": AutoTokenizer.from_pretrained(job.base, trust_remote_code=False),
        "train_dataset": Dataset.from_list([_row(one, job.recipe.method) for one in job.lessons]),
        "peft_config": _lora(job.recipe) if job.recipe.rank else None,
        "callbacks": [AtSteps(keep, kept, job.every)],
    }
    if job.recipe.method == "sft":
        made = Supervised(args=_at(SFTConfig(**_settings(job), dataset_kwargs={"skip_prepare_dataset": True}), job), **whole)
    else:
        made = Preferring(args=_at(DPOConfig(**_settings(job), **_preferences(job.recipe)), job), **whole)
    made.remove_callback(ProgressCallback if job.progress else PrinterCallback)
    if job.progress:
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


def _at(args: TrainingArguments, job: Job) -> TrainingArguments:
    """`args` for the job's device and no other: transformers has no setting for that, takes the first GPU, and spreads every
    batch over all that it sees."""
    args._setup_devices  # noqa: B018 — a cached property, which finds all of them: it has to be asked before it is corrected
    args.__dict__["_setup_devices"] = job.device  # what `args.device` gives, to which trainers move model and batches
    if job.device.type == "cuda":
        args._n_gpu = 1  # more would be DataParallel
        torch.cuda.set_device(job.device)  # accelerate's "cuda" is the current one; `undisturbed` sets it back
    return args


def _settings(job: Job) -> dict[str, Any]:
    return {
        "output_dir": str(job.checkpoints),
        "max_steps": job.steps,
        "per_device_train_batch_size": job.recipe.batch_size,
        "learning_rate": job.recipe.learning_rate,
        "warmup_steps": ceil(WARM_UP * job.steps),
        "seed": job.seed,
        "max_length": None,  # `tokens_of` has refused longer ones
        "bf16": job.recipe.autocast,  # trl's default would be half precision
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",  # `AtSteps` says when
        "save_total_limit": 1,
        "report_to": "none",
        "disable_tqdm": not job.progress,
        "use_cpu": job.device.type == "cpu",
        "dataloader_pin_memory": job.device.type == "cuda",
    }
