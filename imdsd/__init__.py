"""Keep AWS credentials fresh and serve them to every SDK on this machine."""

__version__ = "0.1.0"
