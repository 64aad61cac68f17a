"""`imdsd demo`: its flags, and what it refuses; its life is tested as a process elsewhere."""

from __future__ import annotations

import pytest

from imdsd.cli import main, parser_for

TOKEN_SOURCE = {"--token-command", "--token-file"}


def flags(verb):
    return {
        flag
        for flag in parser_for(verb).format_help().replace(",", " ").split()
        if flag[:2] == "--"
    }


def test_it_takes_what_serve_takes_but_for_the_token_source():
    # Nor does a demo stand by: it is never the second of two that serve the same.
    assert flags("serve") - flags("demo") == TOKEN_SOURCE | {"--standby"}
    assert flags("demo") - flags("serve") == {"--session-seconds", "--"}


@pytest.mark.parametrize("flag", sorted(TOKEN_SOURCE))
def test_a_token_source_is_refused(capsys, flag):
    assert main(["demo", flag, "x"]) == 2
    assert flag in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["59", "0", "-3600"])
def test_sessions_under_a_minute_are_refused(capsys, seconds):
    assert main(["demo", "--session-seconds", seconds]) == 2
    said = capsys.readouterr()
    assert said.err == f"imdsd: --session-seconds is {seconds}, expected 60 or more\n"
    assert said.out == ""


@pytest.mark.parametrize("seconds", ["", "a minute", "60.5"])
def test_sessions_are_a_whole_number_of_seconds(capsys, seconds):
    assert main(["demo", "--session-seconds", seconds]) == 2
    assert "--session-seconds" in capsys.readouterr().err


def test_what_stands_after_two_dashes_is_the_command_with_its_own_flags():
    words = ["--region", "eu-west-1", "--", "aws", "--region", "us-east-1", "sts"]
    arguments = parser_for("demo").parse_args(words)
    assert arguments.command == ["aws", "--region", "us-east-1", "sts"]
    assert arguments.region == "eu-west-1"


def test_without_a_command_it_stays_in_the_foreground():
    assert parser_for("demo").parse_args([]).command == []
