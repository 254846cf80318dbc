"""Bundles: what a study made, as one file from which others rebuild its tables and figures without a model."""
