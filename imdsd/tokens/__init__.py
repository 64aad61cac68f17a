"""Where web identity tokens come from, and what can be read in one before STS sees it."""
