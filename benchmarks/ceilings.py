"""Scores against what the device can do: FLOP/s and bytes/s that are reached, over ceilings measured in the same run.

    python benchmarks/ceilings.py --device cuda --dtype bfloat16 --rows 128 --batch-size 8    # the 8B shape, on a card of 80 GB
    python benchmarks/ceilings.py --narrow 8 --rows 8 --out docs/results/ceilings.json        # an eighth as wide, on a CPU

A random Llama of Llama-3.1-8B's shape (random weights: the shape decides the time), all widths and the vocabulary divided by
--narrow. Alternating runs, medians, waiting for the device: a bare forward and backward to the embeddings by transformers
(eager attention, full logits), scores of heads and neurons, scores of weights (A of the rows, U of as many), and 16 tokens
written with a circuit off and by transformers alone. Two models are held, the plain one and the bridge's. FLOPs and bytes are
those of `harmcircuits.capacity.work`, which a test holds against PyTorch's own count; ceilings are products of 1024 × 1024
matrices in the same type, in float32, and copies of 64 MiB.
"""

import argparse
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from attribution_overhead import bare
from capacity import rows_of, tokenizer
from interventions import timed
from transformers import LlamaConfig, LlamaForCausalLM

import harmcircuits as hc
from harmcircuits.capacity.planned import seconds
from harmcircuits.capacity.rates import Device, measured
from harmcircuits.capacity.work import Rows, Work, attribution, generation, weight_attribution
from harmcircuits.examples import example_rows, make_batch
from harmcircuits.models.shape import Shape, shape_of
from harmcircuits.store import write_json

WIDE = {
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14_336,
    "vocab_size": 128_256,
}
HEADS, NEW, RESPONSE = 0.03, 16, 48
BARE, SCORES, WEIGHTS = "bare forward and backward", "scores of heads and neurons", "scores of weights, A and U"
WRITTEN, PLAIN = "written, a circuit off", "written by transformers"


def random_llama(config: LlamaConfig, device: torch.device, dtype: torch.dtype) -> Any:
    """The same weights each time."""
    torch.manual_seed(0)
    with torch.device(device):
        made = LlamaForCausalLM._from_config(config, dtype=dtype, attn_implementation="eager")
    return made.eval().requires_grad_(False)


def runs_of(bridge: Any, plain: Any, examples: list[hc.Example], batch_size: int) -> dict[str, Callable[[], object]]:
    device, rows = plain.device, example_rows(bridge, examples)
    batches = [make_batch(bridge, rows[at : at + batch_size]) for at in range(0, len(rows), batch_size)]
    scores = hc.attribute(bridge, examples[:batch_size], batch_size=batch_size)
    circuit = hc.select(scores, heads=max(1, round(HEADS * scores.heads.numel())), neurons=scores.neurons.numel() // 333)
    prompts = [hc.Prompt(request=one.request) for one in examples[:batch_size]]
    ids = torch.stack([torch.tensor(row.tokens[: row.start]) for row in rows[:batch_size]]).to(device)
    how: dict[str, Any] = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": True, "pad_token_id": 0}
    return {
        BARE: lambda: bare(plain, batches),
        SCORES: lambda: hc.attribute(bridge, examples, batch_size=batch_size),
        WEIGHTS: lambda: hc.attribute_weights(bridge, examples, benign=examples, batch_size=batch_size),
        WRITTEN: lambda: hc.generate(bridge, prompts, circuit, max_new_tokens=NEW, batch_size=batch_size),
        PLAIN: lambda: plain.generate(ids, attention_mask=torch.ones_like(ids), **how),
    }


def finished(run: Callable[[], object], device: torch.device) -> None:
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def work_of(shape: Shape, n: int, tokens: int, batch_size: int, element: int, *, gpu: bool) -> dict[str, Work]:
    asked = Rows(n=n, length=tokens, asked=RESPONSE, batch=batch_size)
    whole = Rows(n=n, length=tokens, asked=tokens, batch=batch_size)  # full logits
    written = Rows(n=min(n, batch_size), length=tokens - RESPONSE, batch=batch_size)
    how: dict[str, Any] = {"element": element, "gpu": gpu}
    A, U = (weight_attribution(shape, asked, absolute=absolute, **how) for absolute in (False, True))
    texts = generation(shape, written, NEW, element=element)
    return {
        BARE: attribution(shape, whole, element=element),
        SCORES: attribution(shape, asked, element=element),
        WEIGHTS: A + U,
        WRITTEN: texts,
        PLAIN: texts,
    }


def row_of(name: str, taken: float, work: Work, ceiling: Device) -> dict[str, Any]:
    """What is reached, over the time that the ceilings alone would take for these FLOPs, and for these bytes."""
    products = seconds(replace(work, bytes=0, calls=0), ceiling)
    return {
        "step": name,
        "seconds": taken,
        "TFLOP/s": work.flops / taken / 1e12,
        "of the ceiling": products / taken,
        "GB/s": work.bytes / taken / 1e9,
        "of the bandwidth": work.bytes / ceiling.bandwidth / taken,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--narrow", type=int, default=1, help="all widths and the vocabulary are divided by this: 1, 2, 4, 8")
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=128, help=f"of a row, the last {RESPONSE} of which are the response")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="a JSON file")
    options = parser.parse_args()
    device, dtype = torch.device(options.device), getattr(torch, options.dtype)
    widths = {name: size // options.narrow for name, size in WIDE.items()}
    config = LlamaConfig(**widths, num_hidden_layers=options.layers, max_position_embeddings=1024, eos_token_id=2)
    shape, ceiling = shape_of(config), measured(device, dtype)
    plain, inside = (random_llama(config, device, dtype) for _ in range(2))
    bridge = hc.load_model("random", hf_model=inside, tokenizer=tokenizer(), device=device, dtype=dtype)
    examples = rows_of(bridge, options.rows, options.tokens, RESPONSE)
    runs = runs_of(bridge, plain, examples, options.batch_size)
    taken = timed({name: partial(finished, run, device) for name, run in runs.items()}, options.repeats)
    done = work_of(shape, options.rows, options.tokens, options.batch_size, dtype.itemsize, gpu=ceiling.gpu)
    rows = [row_of(name, taken[name], done[name], ceiling) for name in runs]
    ratios = {f"{SCORES} ÷ {BARE}": taken[SCORES] / taken[BARE], f"{WRITTEN} ÷ {PLAIN}": taken[WRITTEN] / taken[PLAIN]}
    rates = f"{ceiling.flops / 1e12:.3g} TFLOP/s, {ceiling.bandwidth / 1e9:.3g} GB/s"
    print(f"{shape.parameters / 1e6:,.0f} M parameters; ceilings {rates}")
    for row in rows:
        print("; ".join(f"{name} {value:.3g}" if isinstance(value, float) else value for name, value in row.items()))
    print(ratios)
    if options.out:
        about = {
            "command": shlex.join(["python", *sys.argv]),
            "n": options.rows,
            "tokens": options.tokens,
            "dtype": options.dtype,
        }
        card = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
        machine = {"device": card, "threads": torch.get_num_threads(), "flops": ceiling.flops, "full": ceiling.full}
        ends = {"shape": vars(shape), "machine": machine | {"bandwidth": ceiling.bandwidth}, "torch": torch.__version__}
        write_json(options.out, about | ends | {"rows": rows, "ratios": ratios})


if __name__ == "__main__":
    main()
