"""What the report says in words: the claims of the paper, and how each was tried."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CLAIMS: Mapping[int, str] = MappingProxyType(
    {
        1: "It minimises cross-entropy without labels",
        2: "It needs fewer samples than back-propagation",
        3: "It is more robust to noise than back-propagation",
        4: "It is more robust to adversarial attacks than back-propagation",
        5: "Only images that look like another class mislead it",
        6: "It generates objects between real classes",
        7: "A soft winner-take-all is better than a hard one",
    }
)
EXPERIMENT_OF: Mapping[int, str] = MappingProxyType(
    {
        1: "cross-entropy",
        2: "convergence",
        3: "noise",
        4: "adversarial",
        5: "adversarial",
        6: "interpolation",
        7: "soft-hard",
    }
)
HOW: Mapping[int, str] = MappingProxyType(
    {
        1: "A linear readout is trained on the finished layer and frozen. The layer then "
        "starts anew and relearns without labels, from the same samples in the same "
        "order; spikes are others. Both cross-entropies must be lower at the end: that of "
        "the layer as a mixture of von Mises–Fisher densities, and that of labels under "
        "the frozen readout. In another order of samples units settle elsewhere, and the "
        "readout no longer fits them; that number only informs.",
        2: "Each point is a training of its own on the first N samples. What decides sees "
        "each label once: units named by one count of N labels, against as many hidden "
        "units trained end to end in one pass, whose learning rate and batch size are "
        "chosen on held-out samples for each N. Both the area under accuracy over log N "
        "and the samples to 90 % must be better. A linear readout goes over its labels "
        "often; beside it stands back-propagation in 1, 5 or 25 passes, at most 60 000 "
        "presentations.",
        3: "Gaussian noise on pixels, clipped to their range; classes are read from spike "
        "counts through units named by labels. Mean accuracy over all strengths of noise "
        "decides. The second picture has what cannot happen to back-propagation: spikes, "
        "neurons and synapses that fail.",
        4: "FGSM; PGD with two losses and several restarts; and PGD on pure units: all "
        "follow the analytic gradient of the rate posterior, and a sample counts as read "
        "right if the network itself, from spikes where it spikes, reads it right after "
        "each of them. Mean accuracy over all ε decides in both norms. If gradients were "
        "masked, attacks without them would do better; so a third number decides, too: "
        "what gradients or the Square attack, on spike counts or on the evidence of pure "
        "units, mislead together.",
        5: "No person was asked. A support vector machine that learned from noisy images "
        "stands for one. Of the images that mislead a network with the smallest ε (L2) at "
        "which it is misled, most must look, to it, like the class that the network says, "
        "and more of them than for back-propagation.",
        6: "For pairs of classes an input is sought whose posterior is an even mix of two "
        "units. The machine of claim 5 must see both classes first: in most pairs, and "
        "more often than in the sum of two test images. Back-propagation stands beside "
        "it.",
        7: "The same rule at the temperature of the settings and in the limit in which one "
        "unit takes all. Accuracy with named units, accuracy with a linear readout whose "
        "features have one temperature for both, and cross-entropy at the temperature "
        "that suits each layer best must all be better. Spiking rungs with exact "
        "inhibition. Learning rates were chosen for the soft layer.",
    }
)
CAPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "cross-entropy": "Left: how far the layer, as a mixture model, is above what batch "
        "expectation maximisation reaches from the same start. Right: cross-entropy of test labels "
        "under a readout that was trained before and is frozen. Bands are intervals of 95 % over "
        "seeds.",
        "convergence": "Learning curves. Beyond all training samples there are further passes.",
        "noise": "One image under all strengths of noise, and what is left of accuracy.",
        "faults": "Accuracy when spikes are lost or late, neurons, populations or synapses fail; "
        "units were named before.",
        "adversarial": "Above: attacks that follow each network's own gradient. Below: the images "
        "that were made to mislead back-propagation, shown to all.",
        "attacked-images": "Rows: attacked by each network's own gradient. Read whether you would "
        "be misled, too.",
        "interpolation": "Inputs between two units of different classes, by gradient ascent and "
        "as drawn by clamped populations.",
        "soft-hard": "From hard (left) to soft. The dashed line starts from random weights, where "
        "units that lose early are lost.",
    }
)
FIGURES_OF: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "cross-entropy": ("cross-entropy",),
        "convergence": ("convergence",),
        "noise": ("noise", "faults"),
        "adversarial": ("adversarial", "attacked-images"),
        "interpolation": ("interpolation",),
        "soft-hard": ("soft-hard",),
    }
)
