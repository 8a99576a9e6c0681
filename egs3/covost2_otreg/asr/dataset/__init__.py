"""What `dataset` in the configurations means here: this package's data directories."""

from espnet_otreg.espnet3.data import Dataset
from espnet_otreg.espnet3.making import DatasetBuilder

__all__ = ["Dataset", "DatasetBuilder"]
