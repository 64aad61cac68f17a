"""Which modules are broken on purpose, each beside the tests that must notice."""

MODULES = {
    "imdsd/credentials/schedule.py": (
        "tests/unit/test_schedule.py",
        "tests/unit/test_refresher.py",
    ),
    "imdsd/credentials/pacing.py": ("tests/unit/test_pacing.py",),
    "imdsd/credentials/refresher.py": ("tests/unit/test_refresher.py",),
    "imdsd/credentials/attempt.py": ("tests/unit/test_attempt.py",),
    "imdsd/endpoints/imds_tokens.py": ("tests/unit/test_endpoints_imds_tokens.py",),
    "imdsd/endpoints/guards.py": ("tests/unit/test_endpoints_guards_one_by_one.py",),
    "imdsd/endpoints/door/quick.py": ("tests/unit/test_endpoints_door_quick.py",),
    "imdsd/endpoints/door/table.py": ("tests/unit/test_endpoints_door_table.py",),
    "imdsd/tokens/claims.py": ("tests/unit/test_tokens_claims.py",),
}
"""One line adds a module."""
