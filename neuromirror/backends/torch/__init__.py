"""The torch backend: vectorised rates."""
