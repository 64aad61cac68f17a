"""Runs a verb's own work in this process, on behalf of a caller that a test describes."""

from __future__ import annotations

import argparse
import importlib
import os

from imdsd.cli._asking import Caller
from tests.fakes.waiting_clock import FakeWaitingClock


def parse(verb, *words):
    """The arguments of a verb, read by its own parser."""
    module = importlib.import_module("imdsd.cli." + verb.replace("-", "_"))
    parser = argparse.ArgumentParser(prog=f"imdsd {verb}")
    module.configure(parser)
    return module, parser.parse_args(words)


def run_verb(verb, *words, environ, home, clock=None):
    """Do what a verb does and return its exit code; an ImdsdError comes through."""
    module, arguments = parse(verb, *words)
    caller = Caller(
        environ=environ,
        uid=os.geteuid(),
        home=home,
        clock=clock or FakeWaitingClock(),
        root=home / "no-such-root",
    )
    return module.perform(arguments, caller)
