"""The entry point: verbs, help, and what an error becomes."""

import contextlib
import os
import subprocess
import sys

import pytest

from imdsd import __version__
from imdsd.cli import _GROUPS, EXIT_CODES, VERBS, exit_code_of, main, parser_for
from imdsd.errors import (
    ConfigurationError,
    ImdsdError,
    MintError,
    NoCredentialsError,
    NoDaemonError,
    Problem,
    UsageError,
)

EXAMPLE_PROBLEM = Problem("f", "k", "x", "y")


def run_program(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "imdsd", *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        **options,
    )


def test_the_help_page_names_every_verb_in_one_group(capsys):
    assert main(["--help"]) == 0
    page = capsys.readouterr().out
    assert sorted(VERBS) == sorted(verb for verbs in _GROUPS.values() for verb in verbs)
    for verb, line in VERBS.items():
        assert any(row.startswith(f"  {verb} ") and line in row for row in page.splitlines())
    assert "imdsd serve --role-arn arn:aws:iam::123456789012:role/dev" in page
    assert "exec -- COMMAND" in page
    assert all(len(row) <= 88 for row in page.splitlines())


def test_without_a_verb_the_page_goes_to_stderr_as_a_usage_error(capsys):
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert (out, "usage: imdsd VERB" in err) == ("", True)


def test_the_version_is_printed_alone(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"imdsd {__version__}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sevre"], "did you mean serve?"),
        (["checkconfig"], "did you mean check-config?"),
        (["xyzzy"], "the verbs are serve, demo"),
        (["--log-level", "debug", "serve"], "options come after the verb"),
        (["check-config", "--frobnicate"], "unrecognized arguments: --frobnicate"),
        (["check-config", "--frobnicate"], "imdsd check-config --help"),
    ],
)
def test_a_wrong_word_is_a_usage_error_with_what_to_write(capsys, words, said):
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert all(line.startswith("imdsd: ") for line in err.splitlines())


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_help_page(verb, capsys):
    with pytest.raises(SystemExit) as caught:
        parser_for(verb).parse_args(["--help"])
    assert caught.value.code == 0
    assert VERBS[verb][1:] in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ImdsdError("x"), 1),
        (MintError("x"), 1),
        (UsageError("x"), 2),
        (NoDaemonError("x"), 3),
        (NoCredentialsError("x"), 4),
        (ConfigurationError((EXAMPLE_PROBLEM,)), 78),
    ],
)
def test_each_error_has_its_exit_code(error, code):
    assert exit_code_of(error) == code


def test_the_last_row_of_exit_codes_fits_every_error_of_ours():
    assert EXIT_CODES[-1] == (ImdsdError, 1)


def test_every_problem_of_a_configuration_stands_on_its_own_line(tmp_path, capsys):
    path = tmp_path / "config.toml"
    path.write_text("x = 1\ny = 2\n")
    assert main(["check-config", "--config", str(path), "--role-arn", "nobody"]) == 78
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[:3] for line in lines] == [
        ["imdsd", str(path), "x"],
        ["imdsd", str(path), "y"],
        ["imdsd", "--role-arn", "arn"],
    ]


def test_a_reader_that_goes_away_is_no_traceback():
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "imdsd", "--help"],
            stdout=write_end, stderr=subprocess.PIPE, timeout=30, check=False,
        )  # fmt: skip
    finally:
        os.close(write_end)
    assert (done.returncode, done.stderr) == (141, b"")


def test_python_dash_m_is_the_same_program():
    done = run_program("--version")
    assert (done.returncode, done.stdout) == (0, f"imdsd {__version__}\n")


def test_only_the_chosen_verb_and_what_it_needs_is_imported():
    program = (
        "import sys, contextlib; from imdsd.cli import main\n"
        "with contextlib.suppress(SystemExit): main(['credential-process', '--help'])\n"
        "heavy = {'msgspec', 'aiohttp', 'botocore', 'rich', 'jwt', 'hmac', 'difflib'}\n"
        "heavy |= {'imdsd.config', 'imdsd.host.sdk_environment'}\n"
        "sys.exit(' '.join(heavy & sys.modules.keys()) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_ctrl_c_ends_a_verb_quietly_with_130(tmp_path):
    ready, fifo = tmp_path / "ready", tmp_path / "never"
    os.mkfifo(fifo)
    command = f"sh -c 'echo > {ready}; cat {fifo}'"
    process = subprocess.Popen(
        [sys.executable, "-m", "imdsd", "token", "--token-command", command],
        stderr=subprocess.PIPE, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    os.mkfifo(ready)
    ready.read_bytes()
    process.send_signal(2)
    _, err = process.communicate(timeout=30)
    with contextlib.suppress(OSError):
        fifo.unlink()
    assert (process.returncode, err) == (130, b"")
