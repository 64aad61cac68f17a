"""What no honest client sends, as data, and what must come of it.

How an abuse is written stands in `cases/README.md`.
"""
