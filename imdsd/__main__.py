"""`python -m imdsd`."""

from __future__ import annotations

import sys

from imdsd.cli import main

sys.exit(main())
