"""The only module that knows all verbs, and which exit code an error becomes."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from typing import TYPE_CHECKING, NoReturn, Protocol, TextIO, runtime_checkable

from imdsd import __version__
from imdsd.errors import (
    ConfigurationError,
    ImdsdError,
    NoCredentialsError,
    NoDaemonError,
    UsageError,
    nearest,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

VERBS = {
    "serve": "run the daemon in the foreground",
    "demo": "run it against an issuer and an STS of its own, all on loopback",
    "env": "print the variables that point AWS SDKs at the daemon",
    "exec": "become a command that has those variables",
    "wait": "return when the role can be served",
    "credential-process": "print what credential_process in ~/.aws/config wants",
    "login": "write one session of a role into ~/.aws/credentials",
    "status": "show every role: its state, until when, what failed last",
    "metadata": "print what clients of the metadata service see",
    "refresh": "obtain new credentials now and say what happened",
    "token": "mint a web identity token and print it, or its claims",
    "trust": "write what AWS needs to let this environment in, or check a policy",
    "event": "tell clients of a spot interruption, maintenance and the like",
    "doctor": "walk the whole chain and say what is wrong and what to do",
    "check-config": "check the configuration and say what would be used",
    "install": "make the daemon a service of this machine or this user",
    "uninstall": "take back what install did",
}
"""Every verb and its one-line help; the verb's module is imported when it is chosen."""

_COMMAND_FORMS = {
    "demo": "demo [-- COMMAND…]",
    "exec": "exec -- COMMAND…",
    "event": "event KIND",
    "metadata": "metadata get|tree",
}

_GROUPS = {
    "run": ("serve", "demo"),
    "use": ("env", "exec", "wait", "credential-process", "login"),
    "look": ("status", "metadata", "doctor", "check-config"),
    "set up": ("install", "uninstall"),
    "other": ("refresh", "token", "trust", "event"),
}

EXIT_CODES: tuple[tuple[type[ImdsdError], int], ...] = (
    (UsageError, 2),
    (NoDaemonError, 3),
    (NoCredentialsError, 4),
    (ConfigurationError, 78),
    (ImdsdError, 1),
)
"""What each error becomes; the first row that fits counts."""

# What a shell reports for a process that died of SIGINT or SIGPIPE.
_INTERRUPTED, _PIPE_CLOSED = 130, 141

_SUMMARY = """\
Keeps AWS credentials fresh and serves them to every SDK on this machine: mints web
identity tokens, exchanges them at STS, answers like EC2 and ECS do."""

_EXAMPLE = """\
Example, in an Ona environment or wherever a web identity token can be had:

  imdsd serve --role-arn arn:aws:iam::123456789012:role/dev &
  eval "$(imdsd env)"
  aws sts get-caller-identity

`imdsd VERB --help` tells more. Without an account to try it on: imdsd demo
"""


@runtime_checkable
class Verb(Protocol):
    """What the module of a verb offers."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the verb's own arguments."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Do what the verb is for and return the exit code."""
        ...


class Parser(argparse.ArgumentParser):
    """An argument parser that leaves exit codes and messages to `main`."""

    def error(self, message: str) -> NoReturn:
        """Raise the message as ours, with where to read more."""
        raise UsageError(f"{message}\nTry: {self.prog} --help")

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """Have a word that is none of the choices named with the nearest that is."""
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            near = nearest(str(value), [str(choice) for choice in action.choices or ()])
            hint = f"; did you mean {near}?" if near else ""
            raise argparse.ArgumentError(action, f"{error.message}{hint}") from None


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb and return the exit code; an error is told on stderr, by what it is."""
    code = _run(list(sys.argv[1:] if argv is None else argv))
    if "imdsd.daemon.process" in sys.modules:  # a loop was run, and a name perhaps looked up
        from imdsd.daemon import process

        process.leave_behind_stuck_threads(code)
    return code


def _run(words: list[str]) -> int:
    _reopen_closed_streams()
    try:
        code = _dispatch(words)
        sys.stdout.flush()
    except ImdsdError as error:
        return _tell(error)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        _forget(sys.stdout)
        return _PIPE_CLOSED
    except Exception as error:  # noqa: BLE001  # the interpreter would print its text
        return _tell_of_defect(error)
    finally:
        # A full disk under the log would make the interpreter end with 120.
        _forget_if_unwritable(sys.stderr)
    return code


def parser_for(verb: str) -> argparse.ArgumentParser:
    """Return the argument parser of a verb, its module imported."""
    return _parser(verb, _module(verb))


def _dispatch(words: list[str]) -> int:
    if not words:
        sys.stderr.write(_help_page())
        return 2
    verb, *rest = words
    if verb in {"-h", "--help", "help"}:
        return _print(_help_page())
    if verb in {"-V", "--version"}:
        return _print(f"imdsd {__version__}\n")
    if verb not in VERBS:
        raise _unknown(verb)
    module = _module(verb)
    return module.run(_parser(verb, module).parse_args(rest))


def _module(verb: str) -> Verb:
    module = importlib.import_module(f"imdsd.cli.{verb.replace('-', '_')}")
    if not isinstance(module, Verb):
        raise TypeError(f"{module.__name__} lacks configure or run")
    return module


def _parser(verb: str, module: Verb) -> argparse.ArgumentParser:
    # No abbreviations: --role is a name in some verbs and would be --role-arn in others.
    description = _sentence(VERBS[verb])
    parser = Parser(prog=f"imdsd {verb}", description=description, allow_abbrev=False)
    module.configure(parser)
    return parser


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _unknown(verb: str) -> UsageError:
    if verb.startswith("-"):
        expected = "options come after the verb: imdsd VERB OPTIONS"
    else:
        near = nearest(verb, VERBS)
        expected = f"did you mean {near}?" if near else f"the verbs are {', '.join(VERBS)}"
    return UsageError(f"{verb!r} is no verb; {expected}\nTry: imdsd --help")


def _help_page() -> str:
    lines = ["usage: imdsd VERB [OPTIONS]", "", _SUMMARY, ""]
    for group, verbs in _GROUPS.items():
        lines += [f"{group}:", *(_help_line(verb) for verb in verbs), ""]
    return "\n".join([*lines, _EXAMPLE])


def _help_line(verb: str) -> str:
    return f"  {_COMMAND_FORMS.get(verb, verb):20}{VERBS[verb]}"


def _print(text: str) -> int:
    sys.stdout.write(text)
    return 0


def exit_code_of(error: ImdsdError) -> int:
    """Return the exit code an error stands for."""
    return next(code for kind, code in EXIT_CODES if isinstance(error, kind))


def _tell(error: ImdsdError) -> int:
    with contextlib.suppress(OSError):
        for line in str(error).splitlines():
            sys.stderr.write(f"imdsd: {line}\n")
    return exit_code_of(error)


def _tell_of_defect(error: Exception) -> int:
    from imdsd.telemetry.tracebacks import told

    with contextlib.suppress(OSError):
        sys.stderr.write(f"{told(error)}\n")
    return _tell(ImdsdError(f"internal error: {type(error).__name__}; please report it"))


def _reopen_closed_streams() -> None:
    """Open nowhere for what the caller closed: the next file would take its number and its text."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            _point_nowhere(number)
            mode = "w" if number else "r"
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def _forget_if_unwritable(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError:
        _forget(stream)


def _forget(stream: TextIO) -> None:
    """Point a stream nowhere, as the interpreter writes what is left of it when it ends."""
    _point_nowhere(stream.fileno())


def _point_nowhere(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)
    os.set_inheritable(number, True)  # noqa: FBT003
