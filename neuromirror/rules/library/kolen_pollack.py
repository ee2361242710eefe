r"""Kolen-Pollack: B takes the same steps as W, so that with decay the two forget where they began and become one.

.. math:: \Delta B_{l+1} = -\eta_W\,(y_l - \beta)\,\delta_{l+1}^T

The presynaptic cell of B is :math:`\delta_{l+1}`, about its baseline; :math:`y_l` is what a cross-projection brings to
the postsynaptic cell. The updater is that of W, decay included. The steps are exactly those of eq. 14 where baselines
are nominal. Kolen & Pollack 1994; Akrout et al. 2019 (NeurIPS version), section 3.
"""

from neuromirror.rules.rule import LibraryRule

RULE = LibraryRule(
    name="kolen_pollack",
    drive="-(pre - beta_pre)*(cross - beta_post)",
    source="Kolen & Pollack 1994",
)
