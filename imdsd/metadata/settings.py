"""What a configuration says of the metadata tree, ready to be served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Leaves = Mapping[str, bytes | None]
"""Values by their path below a version, such as `meta-data/placement/region`.

None stands for a value that cannot be known before the first credentials.
"""


@dataclass(frozen=True, slots=True)
class MetadataSettings:
    """Values that stand above whatever the daemon knows by itself.

    `labels` are directories that list something else than their names, by path: `public-keys`
    lists `0=NAME`. `events` are due from the start of the daemon.
    """

    leaves: Mapping[str, bytes] = field(default_factory=dict)
    labels: Mapping[str, bytes] = field(default_factory=dict)
