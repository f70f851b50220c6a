"""What attribution, weight scores, generation and sweeps cost, as ratios on the default model: one process, alternating runs.

    python benchmarks/costs.py                                  # all four
    python benchmarks/costs.py weights --examples 16 --out out/costs.json

attribution: `attribute` ÷ a bare forward and backward to the embeddings.
weights: signed, and per-example absolute, weight scores of all layers ÷ a bare forward and backward with weight gradients; and
    the published procedure (one data pass a layer, each example alone) ÷ `attribute_weights`.
generation: tokens per second of `generate` under an ablation ÷ those of transformers' own `generate`.
sweep: losses under 16 circuits, one prompt or one condition at a time, ÷ `sweep`.

The opponent is a pristine transformers model: same weights, same tokens and batches, full logits, the same loss, with eager
attention (which TransformerLens also uses) and with sdpa. A ratio is one of medians; those of each round are beside it.
"""

import argparse
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

import harmcircuits as hc
from harmcircuits.attribution.weight_gradients import layer_sums, weight_scores
from harmcircuits.data import Batch, batched, chat_frame, example_rows, make_batch
from harmcircuits.data.elicit import left_padded
from harmcircuits.data.examples import prompt_ids
from harmcircuits.models.packaged import ALIASES, DEFAULT, dequantised_folder, packaged_gguf
from harmcircuits.models.protocol import pad_id
from harmcircuits.store import write_json

ATTENTION = ("eager", "sdpa")


def pristine(attention: str) -> Any:
    """The default model in transformers, without hooks, parameters frozen."""
    folder = dequantised_folder(DEFAULT, ALIASES[DEFAULT].gguf_sha256, lambda: packaged_gguf(ALIASES[DEFAULT]))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention)
    return model.requires_grad_(False)


def seconds_of(runs: Mapping[str, Callable[[], object]], repeats: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Seconds of each run, `repeats` times in turn, after rounds that do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + warm_up):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if repeat >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(seconds: Mapping[str, Sequence[float]], above: str, below: str, scale: float = 1.0) -> dict[str, Any]:
    """Print seconds of `above` ÷ seconds of `below`, times `scale`, and return them by name."""
    median = scale * statistics.median(seconds[above]) / statistics.median(seconds[below])
    rounds = sorted(scale * a / b for a, b in zip(seconds[above], seconds[below], strict=True))
    print(f"{above} ÷ {below}: {median:.2f} ({', '.join(f'{each:.2f}' for each in rounds)})", flush=True)
    return {f"{above} ÷ {below}": {"of medians": median, "by round": rounds}}


def batches_of(model: Any, examples: Sequence[hc.Example], batch_size: int) -> list[Batch]:
    rows = example_rows(model, examples)
    return [make_batch(model, [rows[index] for index in group]) for group in batched(rows, batch_size=batch_size)]


def loss_of(model: Any, batch: Batch, **inputs: torch.Tensor) -> torch.Tensor:
    """The sum of the losses of a batch, from full logits."""
    logits = model(**inputs, attention_mask=batch.attention_mask, use_cache=False).logits
    nll = cross_entropy(logits.flatten(0, 1)[batch.positions].float(), batch.targets, reduction="none")
    return batch.mean_over_rows(nll).sum()


def attribution(model: Any, options: argparse.Namespace) -> dict[str, Any]:
    examples = hc.elicit(model, hc.load_prompts().sample(options.examples, seed=0).harmful, max_new_tokens=48)
    batches = batches_of(model, examples, options.batch_size)

    def bare(opponent: Any) -> float:
        total = 0.0
        for batch in batches:
            embedded = opponent.get_input_embeddings()(batch.tokens).detach().requires_grad_(True)
            loss = loss_of(opponent, batch, inputs_embeds=embedded)
            torch.autograd.grad(loss, embedded)
            total += loss.item()
        return total

    opponents = {f"bare, {name}": pristine(name) for name in ATTENTION}
    ours, theirs = float(hc.loss(model, examples).sum()), bare(opponents["bare, eager"])
    assert abs(ours - theirs) < 1e-3 * abs(theirs), f"the two models disagree on the loss: {ours} and {theirs}"
    runs = {"attribute": lambda: hc.attribute(model, examples, batch_size=options.batch_size)}
    seconds = seconds_of(
        {**runs, **{name: lambda model=opponent: bare(model) for name, opponent in opponents.items()}},
        options.repeats,
    )
    return {key: value for name in opponents for key, value in ratio(seconds, "attribute", name).items()}


def linear_weights(model: Any, layer: int) -> list[torch.nn.Parameter]:
    return [module.weight for module in model.model.layers[layer].modules() if isinstance(module, torch.nn.Linear)]


def weights(model: Any, options: argparse.Namespace) -> dict[str, Any]:
    prompts = hc.load_prompts().sample(options.examples, seed=0)
    harmful, benign = (hc.elicit(model, some, max_new_tokens=48) for some in (prompts.harmful, prompts.near_twins))
    batches = batches_of(model, harmful, options.batch_size)
    opponents = {f"bare, {name}": pristine(name) for name in ATTENTION}
    layers = range(model.cfg.n_layers)
    for opponent in opponents.values():
        for layer in layers:
            for weight in linear_weights(opponent, layer):
                weight.requires_grad_(True)

    def scores(absolute: bool) -> None:
        kinds: Any = {"signed": [] if absolute else [0], "absolute": [0] if absolute else []}
        for block, sums in layer_sums(model, [(harmful, None)], batch_size=options.batch_size, **kinds):
            for matrix in block:
                weight_scores(matrix, sums, kind="absolute" if absolute else "signed")

    def bare(opponent: Any) -> None:
        opponent.zero_grad(set_to_none=True)
        for batch in batches:
            loss_of(opponent, batch, input_ids=batch.tokens).backward()

    runs = {"signed scores": lambda: scores(False), "absolute scores": lambda: scores(True)}
    seconds = seconds_of(
        {**runs, **{name: lambda model=opponent: bare(model) for name, opponent in opponents.items()}},
        options.repeats,
    )
    measured = {key: value for kind in runs for name in opponents for key, value in ratio(seconds, kind, name).items()}
    n = min(options.published_examples, options.examples)
    return measured | published(model, opponents["bare, eager"], harmful[:n], benign[:n], options.batch_size)


def published(
    model: Any, opponent: Any, harmful: Sequence[hc.Example], benign: Sequence[hc.Example], batch_size: int
) -> dict[str, Any]:
    """The published procedure, layer by layer and example by example: −W · Σ ∂L/∂W on harmful, |W| · Σ |∂L/∂W| on benign."""
    alone = [batches_of(model, examples, 1) for examples in (harmful, benign)]
    scores: dict[str, Any] = {}

    def theirs() -> None:
        sums_of = scores["theirs"] = ([], [])
        for layer in range(model.cfg.n_layers):
            layer_weights = linear_weights(opponent, layer)
            for absolute, batches in enumerate(alone):
                sums = [torch.zeros_like(weight) for weight in layer_weights]
                for batch in batches:
                    loss = loss_of(opponent, batch, input_ids=batch.tokens)
                    for total, gradient in zip(sums, torch.autograd.grad(loss, layer_weights), strict=True):
                        total += gradient.abs() if absolute else -gradient
                sums_of[absolute].extend(
                    (weight.detach().abs() if absolute else weight.detach()) * total
                    for weight, total in zip(layer_weights, sums, strict=True)
                )

    def ours() -> None:
        scores["ours"] = hc.attribute_weights(model, harmful, benign=benign, batch_size=batch_size)

    seconds = seconds_of({"published procedure": theirs, "attribute_weights": ours}, 1, warm_up=0)
    close = lambda value, other: bool((value - other).abs().max() <= 1e-4 * other.abs().max())
    W = scores["ours"]
    for name, signed, absolute in zip(W.signed, *scores["theirs"], strict=True):
        assert close(W.signed[name] * len(harmful), signed), f"the two disagree on the signed scores of {name}"
        assert close(W.absolute[name] * len(benign), absolute), f"the two disagree on the absolute scores of {name}"
    return ratio(seconds, "published procedure", "attribute_weights")


def circuits_of(model: Any, n: int) -> list[hc.Circuit]:
    """About as large as the main job's, of random components; half of them have none in the lower half of the layers."""
    low = hc.Circuit(heads=[(at, 0) for at in range(0, 30, 4)], neurons=[(at, j) for at in range(30) for j in range(5)])
    high = hc.Circuit(heads=[(at, 0) for at in range(16, 24)], neurons=[(at, j) for at in range(16, 30) for j in range(10)])
    return [(low if seed % 2 else high).random_like(model, seed=seed) for seed in range(n)]


def generation(model: Any, options: argparse.Namespace) -> dict[str, Any]:
    prompts = hc.load_prompts().sample(options.examples, seed=0).harmful
    (circuit,), opponent, frame = circuits_of(model, 1), pristine("sdpa"), chat_frame(model)
    ids = [prompt_ids(model, frame, prompt.request, prompt.prefill) for prompt in prompts]
    batch, mask = left_padded(ids, pad_id(model))
    steps: dict[str, int] = {}

    def ours() -> None:
        written = hc.generate(model, prompts, circuit, max_new_tokens=24, temperature=0, attention="sdpa")
        steps["generate"] = max(len(example.response_ids) for example in written)

    def theirs() -> None:
        whole = opponent.generate(
            batch, attention_mask=mask, do_sample=False, max_new_tokens=24, pad_token_id=pad_id(model),
            eos_token_id=list(frame.stops),
        )  # fmt: skip
        steps["transformers"] = whole.shape[1] - batch.shape[1]

    seconds = seconds_of({"generate": ours, "transformers": theirs}, options.repeats)
    print("tokens per second, generate ÷ transformers: the inverse of seconds per step")
    return ratio(seconds, "transformers", "generate", scale=steps["generate"] / steps["transformers"])


def sweep(model: Any, options: argparse.Namespace) -> dict[str, Any]:
    prompts = hc.load_prompts().sample(options.examples, seed=0).harmful
    examples = hc.elicit(model, prompts, max_new_tokens=24, temperature=0)
    circuits = circuits_of(model, 16)

    def losses(*parts: Sequence[hc.Example]) -> torch.Tensor:
        rows = []
        for circuit in circuits:
            with hc.ablated(model, circuit):
                rows.append(torch.cat([hc.loss(model, part) for part in parts]))
        return torch.stack(rows)

    difference = abs(hc.sweep(model, circuits, examples).to_numpy() - losses(examples).T.numpy()).max()
    assert difference < 1e-3, f"the ways disagree by {difference}"
    runs = {
        "sweep": lambda: hc.sweep(model, circuits, examples),
        "one condition at a time": lambda: losses(examples),
        "one prompt at a time": lambda: losses(*([example] for example in examples)),
    }
    seconds = seconds_of(runs, options.repeats)
    return {key: value for name in [*runs][1:] for key, value in ratio(seconds, name, "sweep").items()}


PARTS = {part.__name__: part for part in (attribution, weights, generation, sweep)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--examples", type=int, default=16)
    parser.add_argument("--published-examples", type=int, default=4, help="harmful, and as many benign")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--out", type=Path, help="a JSON file")
    options = parser.parse_args()
    model = hc.load_model()
    ratios = {name: PARTS[name](model, options) for name in options.parts or PARTS}
    if options.out is not None:
        machine = {"threads": torch.get_num_threads(), "torch": torch.__version__}
        about = {"command": shlex.join(["python", *sys.argv]), "examples": options.examples, "repeats": options.repeats}
        write_json(options.out, {**about, **machine, "ratios": ratios})


if __name__ == "__main__":
    main()
