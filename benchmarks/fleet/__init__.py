"""What many machines do to STS together: `python -m benchmarks.fleet`, told in docs/fleet.md."""
