"""What every test has in common."""

import os

from hypothesis import settings

# A shared machine pauses for longer than any deadline that means something.
settings.register_profile("steady", deadline=None)
settings.register_profile("many", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
