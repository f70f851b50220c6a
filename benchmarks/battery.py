"""What the whole battery of tasks costs for one condition, and how the time is divided over the tasks.

    python benchmarks/battery.py --triples 54

Every task reads all of these triples' prompts (writing and refusal: harmful requests and twins; explanation: harmful ones),
and beside them 160 facts, 20 passages and 40 everyday requests. The intact model is read beside the condition, and half of the
time is the condition's.
"""

import argparse
from dataclasses import replace

import harmcircuits as hc
from harmcircuits.experiments.asked import lay_out
from harmcircuits.experiments.battery import read_conditions
from harmcircuits.experiments.instruments import choose_instruments
from harmcircuits.experiments.scores import chosen_triples, respond, training_examples
from harmcircuits.models.protocol import geometry

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", default="smollm2-135m-instruct")
parser.add_argument("--triples", type=int, default=54, help="three prompts each")
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

model = hc.load_model(options.model)
train, development, test = hc.load_prompts().split(seed=options.seed)
every = ("test_triples", "many_shot_triples", "written_triples", "greedy_triples", "explained_triples")
sizes = dict.fromkeys(every, options.triples) | {"facts": 160, "passages": 20, "everyday": 40, "probe_triples": 16}
settings = replace(hc.Settings(seed=options.seed), **sizes)
test = chosen_triples(test, settings.test_triples, seed=settings.seed)
examples = respond(model, test, settings, progress=True)
twins = training_examples(model, train, replace(settings, attribution_triples=1), progress=True)[1]
instruments = choose_instruments(model, train, None, twins, [], settings)
shape = geometry(model)
circuit = hc.Circuit(neurons=[(layer, at) for layer in range(shape.n_layers) for at in range(4)])
asked = lay_out(model, test, examples, instruments, settings, progress=True)
outcomes = read_conditions(model, asked, {"circuit": circuit}, progress=True)

prompts = len(asked.prompts)
print(f"one condition of two (the intact model beside it), {prompts} prompts of {len(test.triples)} triples")
for task, took in sorted(outcomes.seconds.items(), key=lambda item: -item[1]):
    print(f"  {task:<24} {took / 2:6.1f} s  {took / sum(outcomes.seconds.values()):6.1%}")
print(f"  {'together':<24} {sum(outcomes.seconds.values()) / 2:6.1f} s")
