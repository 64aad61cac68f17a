"""What the metadata service says of this environment: where each value comes from, and when."""
