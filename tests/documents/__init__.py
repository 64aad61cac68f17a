"""What the documents show is done here, as a reader would do it."""
