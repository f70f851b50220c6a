"""`circuit-tests`, of the circuit of an earlier run."""

from ..claims.material import Material
from ..components import Circuit
from ..experiments.earlier import QUICK
from ..experiments.hypotheses import test_circuit
from ..experiments.hypotheses_components import KINDS, added_components, components_to_test
from ..experiments.hypotheses_random import multiples
from ..experiments.settings import Settings
from ..models.shape import Shape
from .laid_out import sizes_of
from .steps import Job, Steps


def circuit_tests(job: Job, material: Material, *, quick: bool = False) -> Steps:
    """Tests of a circuit of heads and neurons of the size that `dissociate` selects, on all of its test triples or a few.

    Circuits are rows of one batch, with the intact model among them; what lies below a circuit is computed once, and counted in
    each.
    """
    sizes = sizes_of(test_circuit) | (QUICK if quick else {})
    model, circuit = material.model, _of_size(job.shape, job.settings)
    tested = len(components_to_test(circuit, None, sizes["neurons"]))
    drawn = [added_components(model, circuit, kind, sizes["added"], seed=job.settings.seed) for kind in KINDS]
    null, grown = sum(map(len, drawn)), [draws for _, draws in multiples(model, circuit, sizes["draws"])]
    twins, few = job.loss(roles=2), job.loss(sizes["triples"], roles=2)
    one_by_one = (1 + tested + null) + (2 + tested) + (1 + null)  # alone; beside the rest; added to the circuit
    random = 1 + 2 + sum(1 + draws for draws in grown)  # the intact model, it and the circuit, each size
    return {
        "responses, where those of the earlier run are not kept": job.written(3 * job.test),
        "independence: the circuit, under own and other requests": 2 * 2 * twins,
        f"minimality: {tested} components and {null} random ones": one_by_one * few,
        f"sufficiency: {len(grown)} sizes of random circuits at most": random * few,
    }


def _of_size(shape: Shape, settings: Settings) -> Circuit:
    """Any circuit of the size that is selected: the first heads and neurons."""
    place = lambda n, width: [divmod(at, width) for at in range(n)]
    heads, neurons = settings.n_heads(shape.geometry), settings.n_neurons(shape.geometry)
    return Circuit(heads=place(heads, shape.n_heads), neurons=place(neurons, shape.d_mlp))
