"""What `--ona` writes into a repository: a service that serves, and variables that lead to it."""

from imdsd.install.ona.planning import plan_of
from imdsd.install.ona.repository import (
    find_repository,
    install_changes,
    uninstall_changes,
)
from imdsd.install.ona.service import OnaTerms, names_imdsd, package_of_this_imdsd

__all__ = [
    "OnaTerms",
    "find_repository",
    "install_changes",
    "names_imdsd",
    "package_of_this_imdsd",
    "plan_of",
    "uninstall_changes",
]
