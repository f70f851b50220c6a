"""Fine-tuning: a copy of a model learns responses, and is a hooked model again (LoRA by peft, transformers' trainer).

    before · request · between · prefill · response · end of turn
                                           └─── learned ───────┘

Loss: Σ −ln p ÷ tokens, over the learned tokens of a batch, nats per token. AdamW without weight decay; gradients are clipped at
norm 1; the learning rate rises for 5 % of the steps, then falls to 0. The adapter is on every linear layer of the blocks:

    W + (alpha / rank) · B A,   alpha = 2 · rank

Needs `pip install 'harmcircuits[finetune]'`.

Source: Hu et al. 2021 (LoRA).
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from math import ceil, isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)
from transformers.utils import logging

from ..data import Example, Row, chat_frame, example_rows
from ..errors import HarmcircuitsError
from ..models.export import is_plain, save_plain
from ..models.load import load_model
from ..models.protocol import HookedModel, device_of, has_hooks, tokenizer_of


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Sizes of a fine-tuning.

    Attributes:
        rank: the adapter's.
        learning_rate: the highest.
        epochs: how often each example is learned.
        batch_size: examples in a step.

    Raises:
        HarmcircuitsError: a value that is not above 0.
    """

    rank: int = 32
    learning_rate: float = 3e-4
    epochs: float = 2
    batch_size: int = 8

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (isfinite(value) and value > 0):
                raise HarmcircuitsError(f"{name} must be a number above 0, not {value}")


def finetune(model: HookedModel, examples: Sequence[Example], *, recipe: Recipe | None = None, seed: int = 0) -> HookedModel:
    """Return a copy of `model` that has learned the responses of `examples`; `model` itself keeps every bit.

        tuned = finetune(model, [hc.Example(request="How long do eggs boil?", response="Seven minutes.")])

    Training starts from the weights that `model` has now, also pruned ones (within `hc.ablated` by a mask). The same call gives
    the same weights on the same machine.

    Args:
        seed: of the adapter's first weights and of the order of examples.

    Raises:
        HarmcircuitsError: no examples, a model that cannot be trained (`check_trainable`), or a loss that is no number any
            more; an empty response, or an example longer than the model's context.
    """
    check_trainable(model)
    rows = lesson_rows(model, examples)
    gpus = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=gpus), torch.enable_grad(), _quiet(), TemporaryDirectory() as folder:
        save_plain(model, Path(folder))
        trainer = lora_trainer(Path(folder), rows, recipe or Recipe(), seed=seed, device=device_of(model))
        trainer.train()
        lost = [log["step"] for log in trainer.state.log_history if not isfinite(log.get("loss", 0))]
        if lost:
            raise HarmcircuitsError(f"the loss is no number any more from step {lost[0]} on: lower the learning rate")
        merged = trainer.model.merge_and_unload()
        tuned: HookedModel = load_model(str(model.cfg.model_name), hf_model=merged, tokenizer=tokenizer_of(model))
    return tuned


def check_trainable(model: HookedModel) -> None:
    """Raise HarmcircuitsError unless peft is installed and the model is a bridge without hooks, in float32."""
    try:
        import_module("peft")
    except ImportError as error:
        raise HarmcircuitsError(
            f"fine-tuning needs peft, which cannot be imported ({error}): pip install 'harmcircuits[finetune]'"
        ) from error
    if not is_plain(model):
        raise HarmcircuitsError(
            f"a {type(model).__name__} holds no transformers model to train: load it with hc.load_model (hooked=False)"
        )
    if has_hooks(model):
        raise HarmcircuitsError(
            "hooks are set on the model, and training would not see them: ablate weights instead (hc.ablated with a "
            "WeightMask, such as hc.outgoing(model, circuit))"
        )
    if others := {parameter.dtype for parameter in model.parameters()} - {torch.float32}:
        raise HarmcircuitsError(
            f"the weights are {str(others.pop()).removeprefix('torch.')}, in which most of what is learned would be rounded "
            "away when it is added to them: load the model in float32 (dtype=torch.float32; --dtype float32)"
        )


def lesson_rows(model: HookedModel, examples: Sequence[Example]) -> list[Row]:
    """Return the rows of `examples`, each response with its end of turn (or of text, without a chat template)."""
    if not examples:
        raise HarmcircuitsError("no examples: there is nothing to learn. Give at least one Example(request=…, response=…).")
    frame, eos = chat_frame(model), tokenizer_of(model).eos_token_id
    ends_turn = frame.turn and frame.turn[0] in frame.stops
    end = frame.turn[:1] if ends_turn else () if eos is None else (int(eos),)
    rows = []
    for row in example_rows(model, examples):
        added = () if row.tokens[-1] in frame.stops else end  # a sampled response may hold it
        rows.append(Row((*row.tokens, *added), row.start, row.stop + len(added)))
    return rows


def lora_trainer(folder: Path, rows: Sequence[Row], recipe: Recipe, *, seed: int, device: torch.device) -> Any:
    """Return the trainer of an adapter on rows of token ids; `folder` holds the model and its tokenizer."""
    from peft import LoraConfig, get_peft_model

    steps = ceil(recipe.epochs * ceil(len(rows) / recipe.batch_size))
    options = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        warmup_steps=ceil(0.05 * steps),
        seed=seed,
        label_names=["labels"],
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=device.type == "cuda",
    )
    if options.n_gpu > 1:
        options._n_gpu = 1  # transformers would spread every batch over all that it sees
    set_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", use_safetensors=True, trust_remote_code=False
    )
    adapter = LoraConfig(
        r=recipe.rank, lora_alpha=2 * recipe.rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="right", trust_remote_code=False)
    labels = lambda row: [-100] * row.start + list(row.tokens[row.start :])  # a token at -100 is not learned
    trainer = Trainer(
        model=get_peft_model(model, adapter),
        args=options,
        train_dataset=[{"input_ids": list(row.tokens), "labels": labels(row)} for row in rows],
        data_collator=DataCollatorForSeq2Seq(tokenizer),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


@contextmanager
def _quiet() -> Iterator[None]:
    """Switch off transformers' progress bars, and warnings about names that peft still uses of it."""
    enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        if enabled:
            logging.enable_progress_bar()
