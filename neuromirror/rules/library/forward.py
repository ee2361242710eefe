r"""The forward rule: each synapse descends the error that the feedback path brings to its target.

.. math:: \Delta W_{l+1} = -\eta_W\,\delta_{l+1}\,(y_l - \beta)^T

With baselines the error is the deviation of the feedback cell from its own baseline, which eq. 14 leaves to be
understood. Akrout et al. 2019, eqs 4 and 14.
"""

from neuromirror.rules.rule import LibraryRule

RULE = LibraryRule(name="forward", drive="-error*(pre - beta_pre)", source="Akrout et al. 2019, eqs 4, 14")
