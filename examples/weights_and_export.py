# %% [markdown]
# # Weights and export
# Single weights, the paper's own grain: score all of them, select a few, set them to zero, put them back, and write a model
# without them that transformers alone reads.

# %%
import shutil
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

import harmcircuits as hc

out = Path("out/weights_and_export")
model = hc.load_model()
train, development, test = hc.load_prompts().split(seed=0)
few, held_out = train.sample(8, seed=0), test.sample(8, seed=0)
harmful, benign = (hc.elicit(model, prompts, max_new_tokens=24, temperature=0) for prompts in (few.harmful, few.benign))

# %% [markdown]
# A = −W · ∂L/∂W over harmful responses (positive: the weight promotes them); U = mean of |W · ∂L/∂W| over benign ones.

# %%
W = hc.attribute_weights(model, harmful, benign=benign)
W.top(5)

# %% [markdown]
# Of each matrix the top q of A, minus the top p of U.

# %%
mask = hc.select(W, q=1e-4, p=4e-4)
print(f"{len(mask):,} weights, {100 * mask.fraction:.4f} % of those that are eligible")
mask.table().groupby("kind", sort=False)[["weights", "size"]].sum()

# %% [markdown]
# Loss increases on held-out responses, beside as many random weights.

# %%
ablations = {"baseline": None, "mask": mask, "random": mask.random_like(seed=0)}
for role, prompts in (("harmful", held_out.harmful), ("matched benign", held_out.near_twins)):
    L = hc.sweep(model, ablations, hc.elicit(model, prompts, max_new_tokens=24, temperature=0)).mean()
    print(f"{role:15}", *(f"{name}: ΔL {L[name] - L['baseline']:+.3f}" for name in ("mask", "random")))

# %% [markdown]
# Inside `ablated` the weights themselves are zero; afterwards every bit is as it was. A mask is some kilobytes.

# %%
before = [parameter.clone() for parameter in model.parameters()]
with hc.ablated(model, mask):
    inside = sum(int((old != new).sum()) for old, new in zip(before, model.parameters(), strict=True))
print(f"weights that differ inside: {inside:,}")
print("afterwards equal:", all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True)))
mask.save(out / "mask.safetensors")
print(
    f"{(out / 'mask.safetensors').stat().st_size / 1024:.0f} KiB; equal:", hc.WeightMask.load(out / "mask.safetensors") == mask
)

# %% [markdown]
# Export: a plain transformers folder with a model card. From here on nothing but transformers reads the model.

# %%
shutil.rmtree(out / "pruned", ignore_errors=True)  # export takes a new folder
folder = hc.export(model, mask, out / "pruned")
plain = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(folder)
examples = hc.elicit(model, held_out.harmful, max_new_tokens=24, temperature=0)
with hc.ablated(model, mask):
    ours = hc.loss(model, examples)
theirs = []
for example in examples:
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": example.request}], tokenize=False, add_generation_prompt=True
    )
    start = [token for part in (chat, example.prefill) for token in tokenizer(part, add_special_tokens=False).input_ids]
    with torch.no_grad():
        logits = plain(torch.tensor([[*start, *example.response_ids]])).logits[0, len(start) - 1 : -1]
    theirs.append(cross_entropy(logits, torch.tensor(example.response_ids)))
print(f"L without the mask: {ours.mean():.4f} here, {torch.stack(theirs).mean():.4f} exported (nats per token)")
assert (torch.stack(theirs) - ours).abs().max() < 1e-3
