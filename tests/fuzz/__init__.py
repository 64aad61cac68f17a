"""Input that nobody meant, by hypothesis and by atheris: one target for each way in."""
