"""Labelled images: where they come from, the order in which they are shown, and the batches that training takes.

Everything here is a pure function of what is asked for. The images of a subset never depend on the seed of a run; their
order and augmentation depend on seed, epoch and index alone, so that a run that goes on in the middle of an epoch, or
with another number of workers, sees the same batches bit by bit.
"""

from neuromirror.libraries import need

need("torch", __name__)

from neuromirror.data.augment import AUGMENTATIONS, augmented  # noqa: E402
from neuromirror.data.batches import Batches  # noqa: E402
from neuromirror.data.images import Images  # noqa: E402
from neuromirror.data.load import Data, load_data  # noqa: E402
from neuromirror.data.order import order  # noqa: E402

__all__ = ["AUGMENTATIONS", "Batches", "Data", "Images", "augmented", "load_data", "order"]
