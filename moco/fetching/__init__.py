"""What a study may fetch from the package index: the release's data, and a small model."""
