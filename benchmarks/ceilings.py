"""Scores against what the device can do: FLOP/s and bytes/s that are reached, over ceilings measured in the same run.

    python benchmarks/ceilings.py --device cuda                                            # the 8B shape, on a card of 80 GB
    python benchmarks/ceilings.py --narrow 8 --rows 8 --out docs/results/ceilings.json   # an eighth as wide, on a CPU

Without --narrow, --rows and --dtype: on CUDA the whole shape on 128 rows in bfloat16, else those of the second line in
float32. A random Llama of Llama-3.1-8B's shape (random weights: the shape decides the time), all widths and the vocabulary
divided by --narrow. What memory it takes is said before anything is made. Alternating runs (--repeats), medians with the
fastest and the slowest, a ratio being that of the two runs of one round, waiting for the device: a bare forward and backward
to the embeddings by transformers (eager attention, full logits), scores of heads and neurons, the same with blocks
checkpointed, scores of weights (A of the rows, U of as many), and 16 tokens written with a circuit off and by transformers
alone. Two models are held, the plain one and the bridge's. FLOPs and bytes are those of `harmcircuits.capacity.work`, which a
test holds against PyTorch's own count; ceilings are products of 1024 × 1024 matrices in the same type, in float32, and copies
of 64 MiB.
"""

import argparse
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from attribution_overhead import bare
from capacity import rows_of, tokenizer
from interventions import rounds
from transformers import LlamaConfig, LlamaForCausalLM

import harmcircuits as hc
from harmcircuits.capacity import memory
from harmcircuits.capacity.planned import seconds
from harmcircuits.capacity.rates import Device, measured
from harmcircuits.capacity.work import Rows, Work, attribution, forward, generation, weight_attribution
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
TWICE = "scores of heads and neurons, checkpointed"
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
        TWICE: lambda: hc.attribute(bridge, examples, batch_size=batch_size, checkpoint=True),
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
        TWICE: attribution(shape, asked, element=element) + forward(shape, replace(asked, asked=0), element=element),
        WEIGHTS: A + U,
        WRITTEN: texts,
        PLAIN: texts,
    }


def spread(values: list[float]) -> dict[str, float]:
    return {"median": median(values), "smallest": min(values), "largest": max(values)}


def ratio(taken: dict[str, list[float]], one: str, other: str) -> dict[str, float]:
    """Of the two runs of each round, between which the machine changed least."""
    return spread([own / its for own, its in zip(taken[one], taken[other], strict=True)])


def memory_plan(shape: Shape, options: argparse.Namespace, element: int, *, gpu: bool) -> str:
    """Peaks of the steps, a plain model of the same weights being held all the time."""
    rows = Rows(n=options.rows, length=options.tokens, asked=RESPONSE, batch=options.batch_size)
    whole = Rows(n=options.rows, length=options.tokens, asked=options.tokens, batch=options.batch_size)  # full logits
    there = torch.cuda.mem_get_info(options.device)[0] if torch.device(options.device).type == "cuda" else None
    plain = memory.loading(shape, element=element).bytes
    free = None if there is None else there - plain
    peaks = {
        BARE: memory.activations(shape, whole, element=element),
        SCORES: memory.activations(shape, rows, element=element),
        TWICE: memory.activations(shape, rows, element=element, checkpoint=True),
        WEIGHTS: memory.weights(shape, rows, element=element, gpu=gpu, memory=free),
        WRITTEN: memory.writing(shape, rows, NEW, element=element),
    }
    steps = "; ".join(f"{name} {(plain + peak.bytes) / 1e9:.3g} GB" for name, peak in peaks.items())
    host = f"; scores on the host {peaks[WEIGHTS].host / 1e9:.3g} GB" if gpu else ""
    return f"planned, two models of {plain / 1e9:.3g} GB among it: {steps}{host}"


def row_of(name: str, repeats: list[float], work: Work, ceiling: Device) -> dict[str, Any]:
    """What is reached, over the time that the ceilings alone would take for these FLOPs, and for these bytes."""
    taken = median(repeats)
    products = seconds(replace(work, bytes=0, calls=0), ceiling)
    return {
        "step": name,
        "seconds": taken,
        "fastest": min(repeats),
        "slowest": max(repeats),
        "each": repeats,
        "TFLOP/s": work.flops / taken / 1e12,
        "of the ceiling": products / taken,
        "GB/s": work.bytes / taken / 1e9,
        "of the bandwidth": work.bytes / ceiling.bandwidth / taken,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--narrow", type=int, choices=[1, 2, 4, 8], help="all widths and the vocabulary are divided by this")
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--tokens", type=int, default=128, help=f"of a row, the last {RESPONSE} of which are the response")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="a JSON file")
    options = parser.parse_args()
    narrow, rows, half = (1, 128, "bfloat16") if options.device.startswith("cuda") else (8, 8, "float32")
    options.narrow, options.rows, options.dtype = options.narrow or narrow, options.rows or rows, options.dtype or half
    device, dtype = torch.device(options.device), getattr(torch, options.dtype)
    widths = {name: size // options.narrow for name, size in WIDE.items()}
    config = LlamaConfig(**widths, num_hidden_layers=options.layers, max_position_embeddings=1024, eos_token_id=2)
    shape, ceiling = shape_of(config), measured(device, dtype)
    print(f"{shape.parameters / 1e6:,.0f} M parameters; {memory_plan(shape, options, dtype.itemsize, gpu=ceiling.gpu)}")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    plain, inside = (random_llama(config, device, dtype) for _ in range(2))
    bridge = hc.load_model("random", hf_model=inside, tokenizer=tokenizer(), device=device, dtype=dtype)
    examples = rows_of(bridge, options.rows, options.tokens, RESPONSE)
    runs = runs_of(bridge, plain, examples, options.batch_size)
    taken = rounds({name: partial(finished, run, device) for name, run in runs.items()}, options.repeats)
    done = work_of(shape, options.rows, options.tokens, options.batch_size, dtype.itemsize, gpu=ceiling.gpu)
    rows = [row_of(name, taken[name], done[name], ceiling) for name in runs]
    pairs = ((SCORES, BARE), (TWICE, SCORES), (WRITTEN, PLAIN))
    ratios = {f"{one} ÷ {other}": ratio(taken, one, other) for one, other in pairs}
    allocated = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    rates = f"{ceiling.flops / 1e12:.3g} TFLOP/s, {ceiling.bandwidth / 1e9:.3g} GB/s"
    print(f"ceilings {rates}; allocated at most {'n/a' if allocated is None else f'{allocated / 1e9:.3g} GB'}")
    for row in rows:
        print(row["step"], "; ".join(f"{name} {value:.3g}" for name, value in row.items() if isinstance(value, float)))
    for name, own in ratios.items():
        print(f"{name}: {own['median']:.3f} [{own['smallest']:.3f}, {own['largest']:.3f}]")
    if options.out:
        about = {
            "command": shlex.join(["python", *sys.argv]),
            "n": options.rows,
            "tokens": options.tokens,
            "dtype": options.dtype,
            "repeats": options.repeats,
            "allocated": allocated,
        }
        card = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
        machine = {"device": card, "threads": torch.get_num_threads(), "flops": ceiling.flops, "full": ceiling.full}
        ends = {"shape": vars(shape), "machine": machine | {"bandwidth": ceiling.bandwidth}, "torch": torch.__version__}
        write_json(options.out, about | ends | {"rows": rows, "ratios": ratios})


if __name__ == "__main__":
    main()
