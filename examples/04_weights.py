"""Single weights, the paper's own grain: score all of them in one data pass, select a few, switch them off, put them back.

Runs as a script (`python examples/04_weights.py`, meant for less than 3 minutes on two cores) and cell by cell in an editor.
"""

# %% Scores of every weight of the decoder blocks: A = −W · ∂L/∂W over harmful responses (positive: it promotes them), and U,
# the mean of |W · ∂L/∂W| over their twins.
from pathlib import Path

import harmcircuits as hc
from harmcircuits.models.model_key import model_hash
from harmcircuits.statistics import mean_estimate

model = hc.load_model()
train, development, test = hc.load_prompts().split(seed=0)
few = train.sample(8, seed=0)
harmful, benign = (hc.elicit(model, own, max_new_tokens=24, temperature=0) for own in (few.harmful, few.benign))
W = hc.attribute_weights(model, harmful, benign=benign, progress=True)
print(W)
print(W.top(5).to_string(index=False))

# %% Of each matrix the top q of A, minus the top p of U. Without protection (p=0) a few hundred weights break any model.
mask = hc.select(W, q=1e-3, p=6e-3)
careless = hc.select(W, q=1e-3, p=0)
print(f"{len(mask):,} weights, {100 * mask.fraction:.4f} % of those that are eligible; {len(careless):,} without protection")
kinds = mask.table().groupby("kind", sort=False)[["weights", "size"]].sum()
print(kinds.assign(per_million=(1e6 * kinds["weights"] / kinds["size"]).round(1)).to_string())

# %% Held-out responses, sampled. Masks come one after the other, since the rows of a batch share the weights.
held_out = test.sample(12, seed=0)
own, twins = (hc.elicit(model, prompts, max_new_tokens=24) for prompts in (held_out.harmful, held_out.near_twins))
conditions = {"mask": mask, "not protected": careless, "random": mask.random_like(seed=0)}
L = {role: hc.sweep(model, [None, *conditions.values()], examples) for role, examples in (("own", own), ("twins", twins))}

# %% Rises of L and their difference, in nats per token. Positive: the ablation hurts, and harmful text more than near twins.
for at, name in enumerate(conditions, 1):
    rise, of_twins = (losses[at] - losses[0] for losses in L.values())
    print(f"{name:14} harmful {rise.mean():+.3f}, near {of_twins.mean():+.3f}, selectivity {mean_estimate(rise - of_twins)}")

# %% Inside `ablated` the weights themselves are zero; afterwards every bit is as it was. The digest is over all parameters.
before = model_hash(model)
with hc.ablated(model, mask):
    print("inside: ", model_hash(model))
print("outside:", model_hash(model))
assert model_hash(model) == before

# %% A mask is some kilobytes beside a model of hundreds of megabytes.
path = Path("out/example-04/mask.safetensors")
mask.save(path)
print(f"{path}: {path.stat().st_size / 1024:.1f} KiB; read again it is equal: {hc.WeightMask.load(path) == mask}")
