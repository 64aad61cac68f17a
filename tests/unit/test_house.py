"""The house itself: what the linters cannot see of its order."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

import imdsd

HOUSE = Path(imdsd.__file__).parent
MODULES = sorted(HOUSE.rglob("*.py"))
PACKAGES = sorted({module.parent for module in MODULES})

MOST_LINES = 300
MOST_FILES = 11
"""A package's own docstring in `__init__.py` and ten files beside it."""
VERBS_ONE_A_FILE = HOUSE / "cli"

# Every place where a secret leaves its type, and how often. A new one must be put here by hand:
# ask first where its value goes from there, and who may see it.
REVEALS = {
    "cli/token.py": 2,  # prints the web identity token, which is what the verb is for
    "client/http.py": 1,  # the bearer, to the daemon
    "daemon/exchanging/messages.py": 1,  # the token to the exchange process, the keys back
    "doctor/chain/signature.py": 2,  # the token, to read its header and check its signature
    "endpoints/container.py": 1,  # the bearer, to be compared
    "endpoints/documents.py": 4,  # the credentials, rendered for clients
    "endpoints/imds_tokens.py": 1,  # the bearer, to derive the key
    "endpoints/upstream/service.py": 1,  # upstream's own IMDS token, back to upstream
    "host/aws_credentials_file/profile.py": 2,  # the credentials, into the file that was asked for
    "host/sdk_environment.py": 1,  # the bearer, into a shell's variables
    "sandbox/grants.py": 2,  # the sandbox's own credentials, to whoever it granted them
    "sandbox/issuer.py": 1,  # the sandbox's own tokens
    "sandbox/sigv4.py": 1,  # the sandbox's own keys, to check a signature
    "secret.py": 1,  # to be compared
    "sts/exchange.py": 4,  # the token to STS; a session's keys to sign the next call, and to redact both
    "tokens/claims.py": 1,  # the token, to be read
    "tokens/http.py": 2,  # headers, to the token service
}


def name_of(path):
    return str(path.relative_to(HOUSE))


def parsed(module):
    return ast.parse(module.read_text(), str(module))


def imported(tree):
    """Return the names of the modules that a module imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module


def reveals(tree):
    """Count where `reveal` is named, called or not."""
    nodes = ast.walk(tree)
    return sum(isinstance(node, ast.Attribute) and node.attr == "reveal" for node in nodes)


def test_one_module_alone_knows_the_time():
    knowing = {name_of(module) for module in MODULES if "time" in set(imported(parsed(module)))}
    assert knowing == {"clock.py"}


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_module_is_short(module):
    assert len(module.read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_module_says_first_what_it_is_about(module):
    assert ast.get_docstring(parsed(module))


@pytest.mark.parametrize("package", PACKAGES, ids=name_of)
def test_a_package_is_small(package):
    if package not in (HOUSE, VERBS_ONE_A_FILE):
        assert len(list(package.glob("*.py"))) <= MOST_FILES


def test_every_folder_is_a_package():
    assert [name_of(each) for each in PACKAGES if not (each / "__init__.py").exists()] == []


def test_secrets_leave_where_they_are_known_to_leave():
    found = Counter({name_of(module): reveals(parsed(module)) for module in MODULES})
    assert dict(+found) == REVEALS


def test_nothing_is_run_by_a_shell():
    for module in MODULES:
        for node in ast.walk(parsed(module)):
            if isinstance(node, ast.keyword) and node.arg == "shell":
                assert getattr(node.value, "value", None) is False, name_of(module)
            assert getattr(node, "attr", "") not in {"create_subprocess_shell", "system", "popen"}
