"""Head and neuron attribution ÷ a bare forward and backward to the embeddings, same weights, same tokens, one process.

The opponent is a pristine transformers model, parameters frozen, full logits, the same loss, with eager attention (which
TransformerLens also uses) and with sdpa beside it. Runs alternate; the medians are compared.

    python benchmarks/attribution_overhead.py --examples 32 --repeats 5 --out out/costs/attribution.json
"""

import argparse
import shlex
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, PreTrainedModel

import harmcircuits as hc
from harmcircuits.data import Batch, batched, example_rows, make_batch
from harmcircuits.models.packaged import ALIASES, DEFAULT, dequantised_folder, packaged_gguf
from harmcircuits.store import write_json


def bare(model: PreTrainedModel, batches: list[Batch]) -> float:
    """Forward with full logits, the loss of the response, backward to the embeddings; the sum of the losses."""
    total = 0.0
    for batch in batches:
        tokens, mask, asked, targets = (
            part.to(model.device) for part in (batch.tokens, batch.attention_mask, batch.positions, batch.targets)
        )
        embedded = model.get_input_embeddings()(tokens).detach().requires_grad_(True)
        logits = model(inputs_embeds=embedded, attention_mask=mask, use_cache=False).logits
        nll = cross_entropy(logits.flatten(0, 1)[asked].float(), targets, reduction="none")
        loss = batch.mean_over_rows(nll).sum()
        torch.autograd.grad(loss, embedded)
        total += float(loss.detach())
    return total


def keep(out: Path | None, ratios: Mapping[str, Any], **about: Any) -> None:
    """What a benchmark of ratios measured, as JSON, where a file was asked for."""
    if out is not None:
        machine = {"threads": torch.get_num_threads(), "torch": torch.__version__}
        write_json(out, {"command": shlex.join(["python", *sys.argv]), **about, **machine, "ratios": dict(ratios)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--out", type=Path, help="a JSON file")
    options = parser.parse_args()

    bridge = hc.load_model()
    prompts = hc.load_prompts().sample(options.examples, seed=0).harmful
    examples = hc.elicit(bridge, prompts, max_new_tokens=48)
    rows = example_rows(bridge, examples)
    indices = list(batched(rows, batch_size=options.batch_size))
    batches = [make_batch(bridge, [rows[index] for index in group]) for group in indices]
    folder = dequantised_folder(DEFAULT, ALIASES[DEFAULT].gguf_sha256, lambda: packaged_gguf(ALIASES[DEFAULT]))
    opponents = {
        attention: AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation=attention
        ).requires_grad_(False)
        for attention in ("eager", "sdpa")
    }
    runs = {
        "attribute": lambda: hc.attribute(bridge, examples, batch_size=options.batch_size),
        **{f"bare, {name}": lambda model=model: bare(model, batches) for name, model in opponents.items()},
    }
    ours, theirs = float(hc.loss(bridge, examples).sum()), bare(opponents["eager"], batches)
    assert abs(ours - theirs) < 1e-3 * abs(theirs), f"the two models disagree on the loss: {ours} and {theirs}"

    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(options.repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if repeat:  # the first round warms up
                seconds[name].append(time.perf_counter() - start)
    tokens = sum(map(len, rows))
    print(f"{len(examples)} examples, {tokens} tokens, {options.repeats} alternating runs, {torch.get_num_threads()} threads")
    ratios: dict[str, Any] = {}
    for name in list(runs)[1:]:
        pairs = [a / b for a, b in zip(seconds["attribute"], seconds[name], strict=True)]
        medians = statistics.median(seconds["attribute"]) / statistics.median(seconds[name])
        spread = ", ".join(f"{pair:.2f}" for pair in sorted(pairs))
        print(f"attribute ÷ {name}: {medians:.3f} (ratio of medians; run by run {spread})")
        ratios[f"attribute ÷ {name}"] = {"of medians": medians, "run by run": sorted(pairs)}
    keep(options.out, ratios, n=len(examples), tokens=tokens)


if __name__ == "__main__":
    main()
