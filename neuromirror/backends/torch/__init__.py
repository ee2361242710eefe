"""The torch backend: vectorised rates."""

from neuromirror.libraries import need

need("torch", __name__)
