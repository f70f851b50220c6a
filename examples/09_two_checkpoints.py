"""Two checkpoints of one model: do the same components promote harmful responses, and does one's circuit work in the other?

Runs as a script (`python examples/09_two_checkpoints.py`, meant for less than 3 minutes on two cores) and cell by cell in an
editor.
"""

# %% The first checkpoint, its responses, and the circuit that they give. The same responses are read in both checkpoints: what
# differs then is the model and not the text. (Compare each on its own as well: docs/how-to/compare-checkpoints.md.)
import shutil
from importlib.util import find_spec
from pathlib import Path

import harmcircuits as hc
from harmcircuits.statistics import mean_estimate

base = hc.load_model()
few = hc.load_prompts().split(seed=0)[0].sample(8, seed=0)
harmful, benign = (hc.elicit(base, own, max_new_tokens=24, temperature=0) for own in (few.harmful, few.benign))
size = {"heads": 8, "neurons": 138, "protect_fraction": {"heads": 0.5, "neurons": 0.1}}
A = hc.attribute(base, harmful)
one = hc.select(A, protect=hc.attribute(base, benign), **size)

# %% The second: put a checkpoint of your own here, `hc.load_model("path/to/tuned")`. This one is made on the spot, by a short
# LoRA fine-tuning on sound everyday advice (pip install 'harmcircuits[finetune]'; kept in the cache), or else by pruning.
if find_spec("trl") and find_spec("peft"):
    from harmcircuits.organisms.advice import advice
    from harmcircuits.organisms.finetuning import Lesson, Recipe, finetune

    lessons = [Lesson(request=item.question, response=item.good) for item in advice("home")[:40]]
    tuned = finetune(base, lessons, recipe=Recipe(rank=8, alpha=16, learning_rate=5e-4, epochs=2), name="tuned", progress=True)
    print(tuned)
    second = tuned.load()
else:
    folder = Path("out/example-09/pruned")
    shutil.rmtree(folder, ignore_errors=True)
    second = hc.load_model(hc.export(base, one, folder))
print(f"L of harmful responses: {hc.loss(base, harmful).mean():.2f}, then {hc.loss(second, harmful).mean():.2f} nats per token")

# %% The same recipe on the second checkpoint. (What was pruned is at zero there, has A = 0, and cannot be found again.)
B = hc.attribute(second, harmful)
other = hc.select(B, protect=hc.attribute(second, benign), **size)

# %% Components in common, beside what chance gives. They lie in the same layers, which alone gives more than `expected`: a
# circuit drawn at random within the layers says how much.
print(hc.overlap(one, other, model=base).round(3).to_string(index=False))
drawn = [len(one & other.random_like(base, seed=seed)) for seed in range(20)]
print(f"in common with one drawn in the same layers: {sum(drawn) / len(drawn):.1f}, with the other: {len(one & other)}")

# %% Do the scores agree? Intervals over examples, the same ones on both sides.
agreement = A.compare(B, names=("first", "second"))
print(agreement.table().drop(columns=["n"]).round(2).to_string(index=False, na_rep=""))

# %% Each circuit in each checkpoint: the rise of L without it, nats per token. These examples chose the circuits, so that rises
# are larger than on others. `hc.compare_alignment` measures on held-out triples, with matched random circuits.
for name, model in (("first", base), ("second", second)):
    L = hc.sweep(model, [None, one, other, one.random_like(base, seed=0)], harmful)
    for off, rise in zip(("first's circuit", "second's circuit", "a random one"), L[1:] - L[0], strict=True):
        print(f"{name:6} without {off:17} {mean_estimate(rise)}")

# %% In a notebook, the last line of a cell shows the figure: one point a component.
agreement.figure()
