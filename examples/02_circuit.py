"""From scores to a circuit: protect what benign text needs, select, and compare with random circuits on held-out triples.

Runs as a script (`python examples/02_circuit.py`, meant for less than 3 minutes on two cores) and cell by cell in an editor.
"""

# %% Scores of every head and neuron, on greedy responses to 12 training triples: A harmful ones, B benign ones, matched and
# unrelated.
import harmcircuits as hc
from harmcircuits.circuits.controls import matched_random
from harmcircuits.statistics import mean_estimate

model = hc.load_model()
train, development, test = hc.load_prompts().split(seed=0)
few = train.sample(12, seed=0)
A, B = (hc.attribute(model, hc.elicit(model, own, max_new_tokens=24, temperature=0)) for own in (few.harmful, few.benign))
print(A)

# %% A circuit is what promotes harmful text most (A > 0), after the components that benign text rests on are set aside: half
# of the heads and a tenth of the neurons, by the mean of |A| over benign examples.
size, protection = {"heads": 8, "neurons": 138}, {"heads": 0.5, "neurons": 0.1}
circuit = hc.select(A, protect=B, protect_fraction=protection, **size)
careless = hc.select(A, **size)
print(f"Without protection {len(careless - circuit)} of {len(circuit)} components are others")
print(circuit.table().to_string(index=False, max_colwidth=60))

# %% Controls: other components of the same layers, as protected, and of like |A| and U. How like, the sums of |A| say.
controls = [matched_random(circuit, A, protect=B, seed=seed, protect_fraction=protection) for seed in range(8)]
for kind in ("heads", "neurons"):
    scores = getattr(A, kind).abs()
    own, *drawn = (sum(float(scores[part]) for part in getattr(one, kind)) for one in (circuit, *controls))
    print(f"{kind}: the controls' sum of |A| is {sum(drawn) / len(drawn) / own:.0%} of the circuit's")

# %% Triples that nothing has touched, sampled at temperature 1: there nothing favours the baseline's own mode.
held_out = test.sample(12, seed=0)
harmful = hc.elicit(model, held_out.harmful, max_new_tokens=24)
near = hc.elicit(model, held_out.near_twins, max_new_tokens=24)
assert [one.group for one in harmful] == [one.group for one in near], "the same triples, in the same order"

# %% Ablate each circuit in turn, as rows of the same batches. Loss increase ΔL in nats per token; positive: the ablation hurts.
conditions = {"circuit": circuit, "not protected": careless}
conditions |= {f"matched random {at}": control for at, control in enumerate(controls, 1)}
increases = {}
for role, examples in (("harmful", harmful), ("near", near)):
    L = hc.sweep(model, [None, *conditions.values()], examples, progress=True)
    increases[role] = dict(zip(conditions, (L[1:] - L[0]).numpy(), strict=True))

# %% ΔL of harmful responses minus that of matched benign ones, paired within triples, with a 95 % interval over triples. Where
# it includes 0, the circuit is not shown to serve harmful text more than other text.
print(f"{'ablated':18}{'ΔL harmful':>14}{'matched':>11}   difference, nats per token")
for name in conditions:
    own, matched = increases["harmful"][name], increases["near"][name]
    print(f"{name:18}{own.mean():+14.3f}{matched.mean():+11.3f}   {mean_estimate(own - matched)}")

# %% Against the controls as a whole: does the circuit do more than components that look as important? Recognition, and the
# other controls, are what `hc.dissociate` adds (03).
drawn = sum(increases["harmful"][name] for name in conditions if name.startswith("matched")) / len(controls)
print(f"ΔL of harmful responses:     {mean_estimate(increases['harmful']['circuit'])} nats per token")
print(f"less the controls' mean:     {mean_estimate(increases['harmful']['circuit'] - drawn)}")

# %% A circuit is a few kilobytes.
path = "out/example-02/circuit.json"
circuit.save(path)
print(f"{path}: read again it is equal: {hc.Circuit.load(path) == circuit}")
