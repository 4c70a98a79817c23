"""
Which digits are taken for which
================================

Most test samples lie on the diagonal; those beside it, such as eights and nines taken for ones,
share strokes with what they were taken for, and 40 units without labels do not part them.
"""

import matplotlib.pyplot as plt

from softhebb_spiking import SpikingSoftHebb, UnitLabelClassifier, load_dataset, plots

plt.rcParams.update(plots.STYLE)
digits = load_dataset("digits")
model = SpikingSoftHebb(
    n_units=40,
    max_probability=0.5,
    psp_tau_ms=20.0,
    settle_steps=40,
    population_size=128,
    random_state=0,
).fit(digits.X_train)
reader = UnitLabelClassifier(model).fit(digits.X_train, digits.y_train)

_, ax = plt.subplots(figsize=(4.6, 4.6))
plots.confusion_matrix(digits.y_test, reader.predict(digits.X_test), ax=ax)
plt.show()
