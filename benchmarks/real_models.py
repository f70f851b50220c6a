"""The experiment on a real model: on benchmark requests as in the prototype, or on the built-in triples.

    python benchmarks/real_models.py MODEL.gguf --dtype bfloat16 --prompts benchmarks --data FOLDER --out OUT
    python benchmarks/real_models.py smollm2-135m-instruct --prompts builtin --out OUT
    python benchmarks/real_models.py smollm2-135m-instruct --recipes --publish docs/results/smollm2-135m-instruct
    python benchmarks/real_models.py --figures docs/results/MODEL/dissociation-builtin.json --out docs/results

"benchmarks": scores from AdvBench requests and self-instruct seed tasks; tests on StrongREJECT against other seed tasks, and
then, with the same circuits, on unsafe against safe XSTest prompts. The sizes are those of the prototype, fixed beforehand.
"builtin": triples of the package; sizes are chosen on development triples. `--recipes`: in the place of the experiment, every
selection recipe at one benign cost. `--publish` writes report and figures (.svg, with kaleido) into a folder, `--figures` draws
a published report again. FOLDER holds advbench.csv, strongreject.csv, xstest_prompts.csv and seed_tasks_flat.json, in any
subfolder. A run that was stopped continues. Texts are not saved.
"""

import argparse
import json
import logging
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pandas as pd
import torch

import harmcircuits as hc
from harmcircuits.data import PREFILLS, Role
from harmcircuits.experiment.effect_table import dissociation_plane, effects_frame, figures_of
from harmcircuits.store import write_json

TRAIN, DEVELOPMENT, TEST, CONTROL = 64, 12, 24, 12


def requests(data: Path, name: str) -> list[hc.Prompt]:
    """Return a benchmark's prompts, without their own prefills and groups."""
    return [replace(prompt, prefill="", group="") for prompt in hc.load_prompts(next(data.rglob(name)))]


def prompt_set(harmful: Sequence[hc.Prompt], benign: Sequence[hc.Prompt], role: Role, name: str) -> hc.PromptSet:
    """Return harmful and benign requests as one set, under the shared prefills in turn."""
    sides = ((harmful, "harmful"), (benign, role))
    return hc.PromptSet(
        tuple(
            replace(prompt, role=role, category=name, prefill=PREFILLS[index % len(PREFILLS)])
            for side, role in sides
            for index, prompt in enumerate(side)
        ),
        name,
    )


def benchmark_sets(data: Path, seed: int) -> tuple[hc.PromptSet, ...]:
    """Training, development and the two test sets, drawn as the prototype drew them; no request is in two of them."""
    advbench = [replace(prompt, request=prompt.request + ".") for prompt in requests(data, "advbench.csv")]
    seeds = [prompt for prompt in requests(data, "seed_tasks_flat.json") if len(prompt.request) < 300]
    xstest, strongreject = requests(data, "xstest_prompts.csv"), requests(data, "strongreject.csv")
    unsafe = [prompt for prompt in xstest if prompt.role == "harmful"]
    safe = [prompt for prompt in xstest if prompt.role != "harmful"]
    draw = Random(seed)
    for prompts in (advbench, seeds, unsafe, safe, strongreject):
        draw.shuffle(prompts)
    known = {prompt.request.rstrip(".").casefold() for prompt in advbench}
    unseen = [prompt for prompt in strongreject if prompt.request.rstrip(".").casefold() not in known]
    tested, developed, scored = TRAIN + TEST, TRAIN + TEST + DEVELOPMENT, "AdvBench and seed tasks"
    return (
        prompt_set(advbench[:TRAIN], seeds[:TRAIN], "far", scored),
        prompt_set(advbench[TRAIN : TRAIN + DEVELOPMENT], seeds[tested:developed], "far", scored),
        prompt_set(unseen[:TEST], seeds[TRAIN:tested], "far", "StrongREJECT and seed tasks"),
        prompt_set(unsafe[:TEST], safe[:TEST], "near", "XSTest"),
    )


def draw(path: Path, out: Path) -> None:
    """Save every figure of a published report as out/MODEL/PROMPTS-FIGURE.svg."""
    report = json.loads(path.read_text("utf-8"))
    effects, sweep = effects_frame(report), pd.DataFrame(report["sweep"])
    figures = {"plane": dissociation_plane(effects, measure=report["recognition"]["measure"])} | figures_of(effects, sweep)
    for name, figure in figures.items():
        prompts = path.stem.removeprefix("dissociation-")
        hc.figures.save(figure, out / path.parent.name / f"{prompts}-{name}.svg", width=900)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="smollm2-135m-instruct")
    parser.add_argument("--name", default="")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--prompts", choices=("benchmarks", "builtin"), default="builtin")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--recipes", action="store_true", help="compare selection recipes")
    parser.add_argument("--quick", action="store_true", help="few prompts")
    parser.add_argument("--publish", type=Path, metavar="FOLDER", help="write report and figures there")
    parser.add_argument("--components", default="heads,neurons,weights", help="a run of fewer is continued by one of more")
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out/real"))
    parser.add_argument("--figures", type=Path, nargs="*", default=[], metavar="REPORT", help="draw these; measure nothing")
    options = parser.parse_args()
    for report in options.figures:
        draw(report, options.out)
    if options.figures:
        return
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    logging.getLogger("harmcircuits").setLevel(logging.INFO)

    start, computed = time.monotonic(), time.process_time()
    model = hc.load_model(options.model, dtype=getattr(torch, options.dtype))
    kind = hc.RecipeSettings if options.recipes else hc.Settings
    full = {"train_prompts": TRAIN, "development_prompts": DEVELOPMENT, "test_prompts": TEST, "written_prompts": TEST}
    full |= {"control_prompts": CONTROL, "sampled": options.prompts == "builtin", "facts": 24, "passages": 4}
    sizes = kind.quick(seed=options.seed) if options.quick else kind(seed=options.seed, **full)
    sizes = replace(sizes, random_draws=options.draws, components=tuple(options.components.split(",")))
    shared = {"name": options.name, "command": shlex.join(["python", *sys.argv]), "progress": True}
    if options.prompts == "builtin":
        tests = {"builtin": None}
        sets = {"settings": sizes, **shared}
    else:
        train, development, strongreject, xstest = benchmark_sets(options.data, options.seed)
        fixed = {"head_fractions": (0.04,), "neuron_fractions": (0.02,), "weight_fractions": ((3e-5, 1e-4),)}
        sizes = sizes if options.recipes else replace(sizes, **fixed)
        sets = {"train": train, "development": development, "settings": sizes, **shared}
        tests = {"strongreject": strongreject, "xstest": xstest}
    verb, stem = (hc.compare_recipes, "recipes") if options.recipes else (hc.dissociate, "dissociation")
    for name, test in tests.items():
        run = verb(model, prompts=test, folder=options.out, **sets)
        run.save(options.out / f"{stem}-{name}")
        if options.publish:
            path = options.publish / f"{stem}-{name}.json"
            write_json(path, run.report)
            draw(path, options.publish.parent)
        print(f"{name}: {run.answer}", *run.sentences, run.table().T.to_string(), sep="\n")
    minutes = (time.process_time() - computed) / 60
    print(f"{(time.monotonic() - start) / 60:.0f} minutes, {minutes:.0f} CPU minutes on {torch.get_num_threads()} cores")


if __name__ == "__main__":
    main()
