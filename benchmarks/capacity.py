"""Is `harmcircuits plan` right? Peak memory and seconds of each kind of step on random Llamas, and how time grows.

    python benchmarks/capacity.py --out docs/results/capacity.json

Each measurement runs in a child process, forked when everything is imported: memory is its largest resident size beyond what it
began with (getrusage), time its processor time (one thread, median of repeats), so that a busy machine changes neither much.
What is predicted is what `harmcircuits.capacity` says of these shapes and lengths, at the rates of a product of matrices and a
copy that are measured in the same way, in the same run. Linux alone: memory is read from /proc.
"""

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import harmcircuits as hc
from harmcircuits import store
from harmcircuits.capacity import memory, work
from harmcircuits.capacity.planned import seconds
from harmcircuits.capacity.rates import Device, measured
from harmcircuits.examples import example_rows, row_length
from harmcircuits.models.shape import Shape, model_shape

VOCABULARY = 4096
BARE = {"num_hidden_layers": 8, "hidden_size": 16, "num_attention_heads": 4, "intermediate_size": 16}
"""Nearly no weights: what is left is what a process and its Python take."""
SIZES = {
    "9M": {"num_hidden_layers": 8, "hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 1024},
    "28M": {"num_hidden_layers": 10, "hidden_size": 448, "num_attention_heads": 7, "intermediate_size": 1344},
    "102M": {"num_hidden_layers": 12, "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 2816},
}
BASE = {"num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 8, "head_dim": 32, "intermediate_size": 512}
ROWS, TOKENS, NEW = 4, 64, 16
"""Of the three sizes: rows of a batch, their tokens, and those that are the response."""
SWEEPS: dict[str, tuple[int, ...]] = {
    "prompts": (4, 8, 16, 32),
    "tokens of a prompt": (24, 48, 96, 144, 192),
    "heads of a layer": (8, 16, 32, 64),
    "neurons of a layer": (512, 1024, 2048, 4096),
}
REPEATS, ROUNDS = 3, 5
"""Of a step in its process; of every point of the sweeps, so that a slow minute of the machine meets all of them alike."""
EVERYDAY = "Tell me how to bake bread at home, what it needs, how long it takes, and how I can tell that it is ready to eat. "


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--out", type=Path, help="a JSON file for all numbers; none by default")
    options.add_argument("--sizes", nargs="*", choices=SIZES, default=list(SIZES))
    asked = options.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    device = measured(torch.device("cpu"), torch.float32, clock=time.process_time)
    print(f"{device.flops / 1e9:.1f} GFLOP/s, {device.bandwidth / 1e9:.1f} GB/s, one thread")
    steps = []
    with tempfile.TemporaryDirectory() as folder:
        saved(Path(folder), BARE)
        bare = {step: in_child(run, Path(folder)) for step, run in STEPS.items()}
        print("without weights:", bare)
    for name in asked.sizes:
        with tempfile.TemporaryDirectory() as folder:
            steps += of_size(name, Path(folder), device, bare)
    scaling = sweeps(device)
    if asked.out is None:
        return
    store.write_json(
        asked.out,
        {
            "command": "python benchmarks/capacity.py --out docs/results/capacity.json",
            "machine": {"flops": device.flops, "bandwidth": device.bandwidth, "threads": 1, "dtype": "float32"},
            "torch": torch.__version__,
            "lengths": {"rows": ROWS, "tokens": TOKENS, "response": NEW},
            "without weights": {step: {"seconds": median(taken), "bytes": size} for step, (taken, size) in bare.items()},
            "steps": steps,
            "scaling": scaling,
        },
    )


def of_size(name: str, folder: Path, device: Device, bare: dict[str, tuple[list[float], int]]) -> list[dict[str, Any]]:
    """Every step on one size, beside what is predicted; memory beyond that of the same step without weights."""
    shape = saved(folder, SIZES[name])
    rows = work.Rows(n=ROWS, length=TOKENS, asked=NEW, batch=ROWS)
    prompts = work.Rows(n=ROWS, length=TOKENS - NEW, batch=ROWS)
    A, U = (work.weight_attribution(shape, rows, element=4, absolute=absolute) for absolute in (False, True))
    predicted = {
        "loading": (None, memory.loading(shape, element=4)),
        "scores of heads and neurons": (work.attribution(shape, rows, element=4), memory.activations(shape, rows, element=4)),
        "scores of weights": (A + U, memory.weights(shape, rows, element=4, gpu=False)),
        "writing": (work.generation(shape, prompts, NEW, element=4), memory.writing(shape, prompts, NEW, element=4)),
    }
    found = []
    for step, (done, peak) in predicted.items():
        repeats, size = in_child(STEPS[step], folder)
        taken = median(repeats)
        expected = None if done is None else seconds(done, device)
        found.append(
            {
                "model": name,
                "parameters": shape.parameters,
                "step": step,
                "seconds": None if done is None else taken,
                "predicted_seconds": expected,
                "bytes": size - bare[step][1],
                "predicted_bytes": peak.bytes,
            }
        )
        print({key: f"{value:.4g}" if isinstance(value, float) else value for key, value in found[-1].items()})
    return found


def sweeps(device: Device) -> list[dict[str, Any]]:
    """A row a point of `SWEEPS`: the median of the rounds, the fastest and the slowest."""
    points = [(what, value) for what, values in SWEEPS.items() for value in values]
    taken: dict[tuple[str, int], list[tuple[float, float]]] = {point: [] for point in points}
    for _ in range(ROUNDS):
        for point in points:
            with tempfile.TemporaryDirectory() as folder:
                taken[point].append(of_point(*point, Path(folder), device))
    found = []
    for (what, value), pairs in taken.items():
        own, (expected, *_) = zip(*pairs, strict=True)
        print(f"{what} {value}: {median(own):.3f} s ({min(own):.3f} to {max(own):.3f}), predicted {expected:.3f}")
        spread = {"seconds": median(own), "fastest": min(own), "slowest": max(own)}
        found.append({"what": what, "value": value, **spread, "predicted_seconds": expected})
    return found


def of_point(what: str, value: int, folder: Path, device: Device) -> tuple[float, float]:
    """Seconds of `attribute` with one number changed, measured and predicted."""
    changed = {"heads of a layer": "num_attention_heads", "neurons of a layer": "intermediate_size"}
    shape = saved(folder, {**BASE, **({changed[what]: value} if what in changed else {})})
    n, length = (value if what == "prompts" else 8), (value if what == "tokens of a prompt" else TOKENS)
    rows = work.Rows(n=n, length=length, asked=8, batch=4)
    repeats, _ = in_child(lambda path: scores_of(path, n, length, 8, 4), folder)
    return median(repeats), seconds(work.attribution(shape, rows, element=4), device)


# the steps, each in a child


def load(folder: Path) -> list[float]:
    return timed(lambda: hc.load_model(folder, device="cpu"), 1)


def attribute(folder: Path) -> list[float]:
    return scores_of(folder, ROWS, TOKENS, NEW, ROWS)


def scores_of(folder: Path, n: int, length: int, new: int, batch: int) -> list[float]:
    model = hc.load_model(folder, device="cpu")
    examples = rows_of(model, n, length, new)
    return timed(lambda: hc.attribute(model, examples, batch_size=batch), REPEATS)


def attribute_weights(folder: Path) -> list[float]:
    model = hc.load_model(folder, device="cpu")
    examples = rows_of(model, ROWS, TOKENS, NEW)
    return timed(lambda: hc.attribute_weights(model, examples, benign=examples, batch_size=ROWS), REPEATS)


def write(folder: Path) -> list[float]:
    model = hc.load_model(folder, device="cpu")
    prompts = [hc.Prompt(request=one.request, category=str(at)) for at, one in enumerate(rows_of(model, ROWS, TOKENS, NEW))]
    return timed(lambda: hc.elicit(model, prompts, max_new_tokens=NEW, cache=False), REPEATS)


STEPS: dict[str, Callable[[Path], list[float]]] = {
    "loading": load,
    "scores of heads and neurons": attribute,
    "scores of weights": attribute_weights,
    "writing": write,
}


def timed(step: Callable[[], object], repeats: int) -> list[float]:
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        step()
        taken.append(time.process_time() - start)
    return taken


def in_child(step: Callable[[Path], list[float]], folder: Path) -> tuple[list[float], int]:
    """Seconds of a step's repeats, and the bytes by which its process grew at most."""
    context = multiprocessing.get_context("fork")
    ours, its = context.Pipe()

    def run() -> None:
        with tempfile.TemporaryDirectory() as cache:
            os.environ[store.CACHE_VARIABLE] = cache
            before = resident()
            taken = step(folder)
            its.send((taken, peak() - before))

    child = context.Process(target=run)
    child.start()
    child.join()
    if child.exitcode:
        raise SystemExit(f"the child for {folder} ended with {child.exitcode}")
    taken, size = ours.recv()
    return taken, size


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


# models and texts


def saved(folder: Path, sizes: dict[str, int]) -> Shape:
    """A random Llama with grouped keys and values where its heads can be, and a tokenizer with a token a byte."""
    heads = sizes["num_attention_heads"]
    config = LlamaConfig(
        **sizes,
        vocab_size=VOCABULARY,
        num_key_value_heads=heads // 2 if heads % 2 == 0 else heads,
        tie_word_embeddings=True,
        max_position_embeddings=512,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return model_shape(folder)


def tokenizer() -> Any:
    words = {word: at for at, word in enumerate(("<pad>", "<bos>", "<eos>", *sorted(pre_tokenizers.ByteLevel.alphabet())))}
    bytewise = Tokenizer(models.BPE(vocab=words, merges=[]))
    bytewise.pre_tokenizer, bytewise.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=bytewise, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>")
    made.chat_template = "{% for message in messages %}{{ message['content'] }}<eos>{% endfor %}"
    return made


def rows_of(model: Any, n: int, length: int, new: int) -> list[hc.Example]:
    """Examples of so many tokens, of which the last `new` are the response; no two begin alike."""
    texts = [f"{at:02d} {2 * EVERYDAY}"[: length - new - 1] for at in range(n)]
    found = [hc.Example(request=text, response="", response_ids=tuple(range(5, 5 + new))) for text in texts]
    assert {row_length(row) for row in example_rows(model, found)} == {length}
    return found


if __name__ == "__main__":
    main()
