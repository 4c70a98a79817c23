"""A plan as lines to read, and as data."""

from __future__ import annotations

from collections import Counter
from typing import Any

from softhebb_spiking.deployment.plan import Plan


def plan_as_dict(plan: Plan) -> dict[str, Any]:
    """Return everything a plan says, for JSON."""
    activity, energy = plan.activity, plan.energy_nj()
    step_us = plan.chip.time["step_us"]
    cores = Counter(core.population for core in plan.cores)
    return {
        "chip": plan.chip.name,
        "form": plan.layout.form,
        "learning": plan.layout.learning,
        "fits": not plan.violations,
        "violations": [vars(item) for item in plan.violations],
        "chips": plan.n_chips,
        "cores": len(plan.cores),
        "cores_by_population": dict(cores),
        "neurons": {
            name: item.n_neurons
            for name, item in plan.layout.populations.items()
            if not item.external
        },
        "per_core": plan.usage(),
        "per_chip": per_chip(plan),
        "synapses": plan.n_synapses,
        "synapse_memory_bits": {
            "without_learning": plan.synapse_memory(learning=False),
            "with_learning": plan.synapse_memory(learning=True),
        },
        "steps_per_sample": plan.layout.steps,
        "ms_per_sample": 1e-3 * step_us.value * plan.layout.steps,
        "activity_per_sample": None if activity is None else vars(activity),
        "energy_nj_per_sample": energy,
        "sources": sources(plan),
    }


def per_chip(plan: Plan) -> dict[str, dict[str, float]]:
    """Return, for each resource of a chip, its use on the fullest chip, and its limit."""
    used = {
        "cores_per_chip": max(map(len, plan.chips)),
        "synapses_per_chip": max(map(plan.synapses_on, plan.chips)),
    }
    limits = plan.chip.limits
    return {
        name: {"used": float(n), "limit": limits[name].value}
        for name, n in used.items()
        if name in limits
    }


def sources(plan: Plan) -> list[dict[str, Any]]:
    """Return each number that was used, with its source and how sure it is."""
    chip = plan.chip
    return [
        {"what": name, **vars(figure)}
        for part in (chip.limits, chip.memory, chip.energy, chip.time)
        for name, figure in part.items()
    ]


def plan_as_text(plan: Plan) -> str:
    """Return a plan as lines."""
    found = plan_as_dict(plan)
    verdict = "fits" if found["fits"] else "DOES NOT FIT"
    lines = [
        f"{plan.chip.name}, {_form(plan)}: {verdict} on {_counted(found['chips'], 'chip')}, "
        f"{_counted(found['cores'], 'core')}",
        *(f"  {item}" for item in plan.violations),
        "cores: "
        + ", ".join(f"{name} {n}" for name, n in found["cores_by_population"].items())
        + "; neurons: "
        + ", ".join(f"{name} {n}" for name, n in found["neurons"].items()),
        "fullest core",
    ]
    for part, title in (("per_core", None), ("per_chip", "fullest chip")):
        lines += [title] if title else []
        for name, size in found[part].items():
            share = 100.0 * size["used"] / size["limit"]
            lines.append(
                f"  {name.replace('_', ' '):24} {size['used']:14,.0f} of {size['limit']:14,.0f} "
                f"({share:.1f} %)"
            )
    memory = found["synapse_memory_bits"]
    lines.append(
        f"synapses: {found['synapses']:,}; memory {memory['without_learning'] / 8e3:,.1f} kB, "
        f"with learning {memory['with_learning'] / 8e3:,.1f} kB"
    )
    lines += _activity_lines(plan, found)
    lines.append(
        f"time: {found['steps_per_sample']} steps a sample, {found['ms_per_sample']:.2f} ms at "
        f"{plan.chip.time['step_us'].value:g} µs a step ({plan.chip.time['step_us'].certainty})"
    )
    return "\n".join(lines)


def _form(plan: Plan) -> str:
    form = {"programs": "neuron programs", "circuit": "LIF circuit"}[plan.layout.form]
    learning = {
        "none": "no learning",
        "two_factor": "two-factor learning",
        "three_factor": "three-factor learning",
    }[plan.layout.learning]
    return f"{form}, {learning}"


def _activity_lines(plan: Plan, found: dict[str, Any]) -> list[str]:
    activity = plan.activity
    if activity is None:
        return ["activity: not measured; name a data set with --dataset"]
    spikes = ", ".join(f"{name} {n:,.0f}" for name, n in activity.spikes.items())
    total = sum(activity.synaptic_operations.values())
    lines = [
        f"activity of a sample, mean of {activity.n_samples}: spikes {spikes}; synaptic "
        f"operations {total:,.0f}"
    ]
    energy = found["energy_nj_per_sample"]
    if energy is None:
        lines.append(
            f"energy: no figure for an operation of {plan.chip.name} is published, so none is given"
        )
    else:
        parts = ", ".join(f"{name.replace('_', ' ')}s {nj:,.1f}" for name, nj in energy.items())
        sure = "; ".join(sorted({item.certainty for item in plan.chip.energy.values()}))
        lines.append(
            f"energy: {sum(energy.values()):,.1f} nJ a sample ({parts}); figures are {sure}, "
            f"from {plan.chip.energy['synaptic_operation'].source}; neither idle power nor the "
            "routing of spikes is in it"
        )
    return lines


def _counted(n: int, name: str) -> str:
    return f"{n} {name}" + ("" if n == 1 else "s")
