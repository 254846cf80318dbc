"""MoCo: model collaboration as a reproducible benchmark pipeline."""

__version__ = "0.1.0"
