"""Every finding that the doctor can come to, gathered from where each one is made."""

from __future__ import annotations

from imdsd.doctor.chain import configuration, exchange, signature, token
from imdsd.doctor.finding import Diagnosis, Level, Step
from imdsd.doctor.machine import editors, files, proxies, running, systemd
from imdsd.doctor.sdks import aws_cli, judging

_MODULES = (
    *(configuration, token, signature, exchange),
    *(running, judging, aws_cli, proxies, editors, files, systemd),
)


def diagnoses() -> tuple[Diagnosis, ...]:
    """Return them in the order of the steps; what is `skipped` or `crashed` is of every step."""
    found = [each for module in _MODULES for each in vars(module).values()]
    known = {each.code: each for each in found if isinstance(each, Diagnosis)}
    steps, levels = list(Step), list(Level)
    return tuple(
        sorted(known.values(), key=lambda one: (steps.index(one.step), levels.index(one.level)))
    )
