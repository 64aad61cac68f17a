"""The composition root: build, serve, reload, stop."""
