"""Weight scores against what they replace: same weights, same tokens, one process, alternating runs, ratios of medians.

    python benchmarks/weight_scores.py --examples 16 --repeats 5 --published-examples 4 --out out/costs/weights.json

1. Signed scores of all layers ÷ a bare forward and backward with weight gradients.
2. Per-example absolute scores of all layers ÷ the same.
   The opponent is a pristine transformers model, full logits, the same loss and batches, with eager attention (which
   TransformerLens also uses) and with sdpa beside it; only the matrices that are scored get gradients.
3. The published procedure ÷ `attribute_weights`, harmful and benign together: one data pass a layer, each example alone,
   forward, and backward to the matrices of that layer.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from attribution_overhead import keep
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

import harmcircuits as hc
from harmcircuits.attribution.layer_major import layer_sums
from harmcircuits.data import Batch, batched, example_rows, make_batch
from harmcircuits.models.packaged import ALIASES, DEFAULT, dequantised_folder, packaged_gguf

Scores = dict[str, torch.Tensor]


def batches_of(model: Any, examples: Sequence[hc.Example], batch_size: int) -> list[Batch]:
    rows = example_rows(model, examples)
    indices = batched(rows, batch_size=batch_size)
    return [make_batch(model, [rows[index] for index in group]) for group in indices]


def ours(model: Any, examples: Sequence[hc.Example], batch_size: int, *, absolute: bool) -> Scores:
    """Return one of the two kinds of scores over `examples`, as `attribute_weights` computes it."""
    kinds: dict[str, Any] = {"signed": [] if absolute else [0], "absolute": [0] if absolute else []}
    layers = layer_sums(model, [(examples, None)], batch_size=batch_size, **kinds)
    return {
        matrix.name: sums.absolute(matrix) if absolute else sums.signed(matrix) for block, (sums,) in layers for matrix in block
    }


def bare_loss(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """The sum of the losses of a batch, from full logits."""
    logits = model(input_ids=batch.tokens, attention_mask=batch.attention_mask, use_cache=False).logits
    nll = cross_entropy(logits.flatten(0, 1)[batch.positions].float(), batch.targets, reduction="none")
    return batch.mean_over_rows(nll).sum()


def linear_weights(model: torch.nn.Module, layer: int) -> list[torch.nn.Parameter]:
    return [module.weight for module in model.model.layers[layer].modules() if isinstance(module, torch.nn.Linear)]


def bare(model: torch.nn.Module, batches: list[Batch]) -> None:
    """Forward and backward of each batch; the gradients add up in `.grad`."""
    model.zero_grad(set_to_none=True)
    for batch in batches:
        bare_loss(model, batch).backward()


def published(
    model: torch.nn.Module, harmful: list[Batch], benign: list[Batch]
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Layer by layer, example by example: −W · Σ ∂L/∂W over harmful, |W| · Σ |∂L/∂W| over benign."""
    signed: list[torch.Tensor] = []
    absolute: list[torch.Tensor] = []
    for layer in range(model.config.num_hidden_layers):
        weights = linear_weights(model, layer)
        for examples, into, of in ((harmful, signed, torch.neg), (benign, absolute, torch.abs)):
            sums = [torch.zeros_like(weight) for weight in weights]
            for batch in examples:
                for total, gradient in zip(sums, torch.autograd.grad(bare_loss(model, batch), weights), strict=True):
                    total += gradient if into is signed else gradient.abs()
            into += [of(weight.detach()) * total for weight, total in zip(weights, sums, strict=True)]
    return signed, absolute


def timed(
    runs: dict[str, Callable[[], object]], repeats: int, *, warm_up: int = 1, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Seconds of each run, `repeats` times in turn, after `warm_up` rounds that do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + warm_up):
        for name, run in runs.items():
            start = clock()
            run()
            if repeat >= warm_up:
                seconds[name].append(clock() - start)
    return seconds


def ratio(seconds: dict[str, list[float]], above: str, below: str) -> dict[str, Any]:
    """Printed, and as it is kept."""
    medians = statistics.median(seconds[above]) / statistics.median(seconds[below])
    pairs = sorted(a / b for a, b in zip(seconds[above], seconds[below], strict=True))
    print(f"{above} ÷ {below}: {medians:.2f} (ratio of medians; run by run {', '.join(f'{pair:.2f}' for pair in pairs)})")
    return {f"{above} ÷ {below}": {"of medians": medians, "run by run": pairs}}


def close(one: torch.Tensor, other: torch.Tensor) -> bool:
    return bool((one - other).abs().max() <= 1e-4 * other.abs().max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--published-examples", type=int, default=8, help="harmful, and as many benign; 0 leaves it out")
    parser.add_argument("--published-repeats", type=int, default=1)
    parser.add_argument("--out", type=Path, help="a JSON file")
    parser.add_argument("--cpu-time", action="store_true", help="count processor seconds: steadier on a busy machine")
    options = parser.parse_args()
    clock = time.process_time if options.cpu_time else time.perf_counter

    bridge = hc.load_model()
    prompts = hc.load_prompts().sample(options.examples, seed=0)
    harmful = hc.elicit(bridge, prompts.harmful, max_new_tokens=48)
    batches = batches_of(bridge, harmful, options.batch_size)
    folder = dequantised_folder(DEFAULT, ALIASES[DEFAULT].gguf_sha256, lambda: packaged_gguf(ALIASES[DEFAULT]))
    opponents = {}
    for attention in ("eager", "sdpa"):
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention)
        model.requires_grad_(False)
        for layer in range(model.config.num_hidden_layers):
            for weight in linear_weights(model, layer):
                weight.requires_grad_(True)
        opponents[attention] = model
    print(f"{len(harmful)} examples, {sum(int(batch.attention_mask.sum()) for batch in batches)} tokens, {options.repeats} "
          f"alternating runs, {torch.get_num_threads()} threads")  # fmt: skip
    kinds = {"signed": False, "absolute per example": True}
    seconds = timed(
        {
            **{
                name: lambda kind=kind: ours(bridge, harmful, options.batch_size, absolute=kind) for name, kind in kinds.items()
            },
            **{f"bare, {name}": lambda model=model: bare(model, batches) for name, model in opponents.items()},
        },
        options.repeats,
        clock=clock,
    )
    ratios: dict[str, Any] = {}
    for above in kinds:
        for below in opponents:
            ratios |= ratio(seconds, above, f"bare, {below}")
    about = {"n": len(harmful), "tokens": sum(int(batch.attention_mask.sum()) for batch in batches)}
    if not options.published_examples:
        keep(options.out, ratios, **about)
        return
    n, results = options.published_examples, {}
    benign = hc.elicit(bridge, prompts.near_twins, max_new_tokens=48)[:n]
    alone = [batches_of(bridge, examples, 1) for examples in (harmful[:n], benign)]
    own = lambda: hc.attribute_weights(bridge, harmful[:n], benign=benign, batch_size=options.batch_size)
    seconds = timed(
        {
            "the published procedure": lambda: results.update(theirs=published(opponents["eager"], *alone)),
            "attribute_weights": lambda: results.update(ours=own()),
        },
        options.published_repeats,
        warm_up=0,
        clock=clock,
    )
    W, theirs = results["ours"], zip(*results["theirs"], strict=True)
    assert all(
        close(W.signed[name] * n, signed) and close(W.absolute[name] * n, absolute)
        for name, (signed, absolute) in zip(W.signed, theirs, strict=True)
    ), "the two disagree on the scores"
    print(f"{n} harmful and {n} benign examples, {options.published_repeats} alternating runs, equal scores")
    ratios |= ratio(seconds, "the published procedure", "attribute_weights")
    keep(options.out, ratios, **about, published_n=n)


if __name__ == "__main__":
    main()
