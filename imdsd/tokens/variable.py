"""A web identity token that somebody put into an environment variable, once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imdsd.errors import MintError
from imdsd.tokens.shape import token_from

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsd.secret import Secret


@dataclass(frozen=True, slots=True)
class VariableSource:
    """GitLab and CircleCI hand the token over this way: it cannot be minted again."""

    name: str
    environ: Mapping[str, str] = field(kw_only=True, repr=False)
    renewable = False
    minted_on_demand = False

    @property
    def description(self) -> str:
        """Name the source in one line for status."""
        return f"variable {self.name}"

    async def mint(self) -> Secret:
        """Return the token that the variable held when the daemon started; raises MintError."""
        value = self.environ.get(self.name)
        remedy = f"let the job put a web identity token into {self.name}, and start again"
        if value is None:
            raise MintError(f"the variable {self.name} is not set", remedy=remedy)
        raw = value.encode(errors="surrogateescape")
        return token_from(raw, source=self.description, remedy=remedy)
