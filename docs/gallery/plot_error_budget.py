"""
What each rounding costs
========================

From floating point (dashed) to the integers of a chip, one rounding more in each row: the distance
of spike counts to the softmax hardly grows, and the mean update is off by a few per cent at most.
"""

import matplotlib.pyplot as plt

from softhebb_spiking import FixedPointParams, load_dataset, plots
from softhebb_spiking.verification.budget import Task, error_budget

plt.rcParams.update(plots.STYLE)
sizes = {"n_units": 20, "n_train": 300, "n_posterior": 100, "n_repeats": 20}
task = Task.prepare(load_dataset("digits"), seed=0, fixed=FixedPointParams(), **sizes)
rows = error_budget(task)

# %%
# The first row, a filled disc, is the event rung in floating point. Filled diamonds are the event
# rung in integers; each must repeat the row above it, in which its roundings were added up.

names = [row.name for row in rows]
_, (left, right) = plt.subplots(1, 2, sharey=True, figsize=(8.4, 3.4))
plots.budget(
    names, [row.total_variation for row in rows], measure="total variation to softmax", ax=left
)
plots.budget(names, [row.slope for row in rows], measure="slope of the mean update", ax=right)
plt.show()
