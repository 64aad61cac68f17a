"""How the tests run on a mutant: the same every time, and without dwelling on a failure."""

import gc

import structlog
from hypothesis import Phase, settings

# A mutant that is found needs no smallest example, and the same examples give the same survivors.
settings.register_profile(
    "mutants",
    deadline=None,
    max_examples=50,
    database=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
)
settings.load_profile("mutants")

# Otherwise every crash is drawn in colour, with all variables: seconds, many times over.
structlog.configure(processors=[structlog.processors.KeyValueRenderer()])


def pytest_collection_finish() -> None:
    """Spare the collector what is there before the first test: pytest runs it at every end."""
    gc.freeze()
