"""The machine around: the daemon, its files, its unit, and what stands in between."""
