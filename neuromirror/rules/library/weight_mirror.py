r"""The weight mirror: Hebbian learning of noisy activity pulls B toward a multiple of Wᵀ.

.. math:: \Delta B = \eta_B\,(\delta_l - \beta)(\delta_{l+1} - \beta)^T - \lambda B

The presynaptic cell of B is :math:`\delta_{l+1}`, the postsynaptic one :math:`\delta_l`. Both sides are centred: with
one side alone the product keeps the mean of the other as a bias. Akrout et al. 2019, eqs 5, 7, 15 and 18.
"""

from neuromirror.rules.rule import LibraryRule

RULE = LibraryRule(
    name="weight_mirror",
    drive="(post - beta_post)*(pre - beta_pre)",
    source="Akrout et al. 2019, eqs 5, 7, 15",
)
