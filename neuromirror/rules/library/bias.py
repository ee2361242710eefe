r"""The bias rule: the forward rule for a cell's own bias, a weight whose input is always one.

.. math:: \Delta b_{l+1} = -\eta_W\,\delta_{l+1}

The gradient of the same loss that eq. 4 descends (Akrout et al. 2019), with respect to the bias of eq. 1.
"""

from neuromirror.rules.rule import LibraryRule

RULE = LibraryRule(name="bias", drive="-error", source="Akrout et al. 2019, eqs 1, 4")
