"""What is wrong with an answer is found: each of these would be a hole in the daemon."""

import re
import socket
import threading

import pytest

from tests.abuse.abuse import Abuse
from tests.abuse.judging import Secrets, problems
from tests.abuse.loading import load_abuses, parse_outcomes
from tests.abuse.talking import Heard, talk
from tests.wire.table import BadCaseError
from tests.wire.talking import Place

TOKEN = "T" * 56
SECRETS = Secrets((b"the-bearer", b"the-session"))


def said(status=400, body=b"", **headers):
    usual = {"Content-Length": str(len(body)), "Connection": "close"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in {**usual, **named}.items() if value]
    return "\r\n".join([f"HTTP/1.1 {status} Said", *lines, "", ""]).encode() + body


def found(heard, expect="400", *, end="closed", seconds=0.0, **options):
    sent = options.pop("sent", "GET /nine-and-more HTTP/1.1\r\nX: a-value-of-nine\r\n\r\n")
    abuse = Abuse("an-abuse", "", sent, {}, **options)
    lines = problems(abuse, parse_outcomes(expect), Heard(heard, end, seconds), SECRETS)
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("heard", "expect"),
    [
        (said(), "400"),
        (said(408) , "400 or 408"),
        (said(200, b"x " * 99) + said(403), "200, 403"),
        (said(100, Content_Length=None) + said(401), "100, 401"),
        (3 * said(200), "3*200"),
        (3 * said(200), "9*200, cut"),
        (3 * said(200) + b"HTTP/1.1 2", "9*200, cut"),
        (b"", "nothing"),
    ],
)  # fmt: skip
def test_what_was_expected_is_no_problem(heard, expect):
    assert found(heard, expect) == ""


@pytest.mark.parametrize(
    ("heard", "expect", "problem"),
    [
        (said(200), "400", "200, closed, expected 400, closed"),
        (said() + said(), "400", "400, 400, closed, expected 400, closed"),
        (said(), "400, kept", "400, closed, expected 400, kept"),
        (b"", "400", "nothing, closed, expected 400, closed"),
        (said() + b"more", "400", "came b'more', expected nothing"),
        (said(400, b"cut", Content_Length="9"), "400", "expected nothing"),
        (said(Content_Length=None), "400", "Content-Length is []"),
        (b"SSH-2.0-x\r\n\r\n", "400", "expected a status line"),
        (9 * said(200), "9*200, cut", "expected 9 answers, cut"),
        (said(403), "9*200, cut", "expected 9 answers, cut"),
        (said().replace(b"HTTP/1.1", b"HTTP/2.0"), "400", "the answer is HTTP/2.0"),
        (said(Location="/x"), "400", "Location"),
        (said(Access_Control_Allow_Origin="*"), "400", "CORS"),
        (said(400, b"the-bearer"), "400", "a secret came"),
        (said(X="the-session"), "400", "a secret came"),
        (said() + b"the-session", "nothing", "a secret came"),
        (said(400, b'{"SecretAccessKey": "x"}'), "400", "looks like credentials"),
        (said(400, TOKEN.encode()), "400", "looks like an IMDS token"),
        (said(400, b"no /nine-and-more"), "400", "repeats b'/nine-and-more'"),
        (said(X="a-value-of-nine"), "400", "repeats b'a-value-of-nine'"),
    ],
)
def test_what_was_not_expected_is_a_problem(heard, expect, problem):
    assert problem in found(heard, expect)


def test_a_token_is_no_problem_where_one_is_minted():
    assert found(said(200, TOKEN.encode()), "200", mints=True) == ""


def test_a_connection_that_stays_open_is_found():
    assert "400, waiting" in found(said(), end="waiting")


def test_an_end_that_comes_too_soon_is_found():
    assert "ended after 1.0 s, expected 2 s" in found(said(), seconds=1.0, least_seconds=2)


def test_secrets_are_in_no_problem():
    told = found(said(200, b"the-bearer"))
    assert "the-bearer" not in told
    assert "a secret came" in told


# Talking


class Listener:
    """Answers the first connection with these bytes, and ends it or does not."""

    def __init__(self, answer, *, closes):
        self._answer, self._closes = answer, closes
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.place = Place("127.0.0.1", self._listener.getsockname()[1])
        self.heard = b""
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._thread.join(30)
        self._listener.close()

    def _serve(self):
        connection, _ = self._listener.accept()
        with connection:
            if self._answer:
                connection.sendall(self._answer)
            if self._closes:
                connection.shutdown(socket.SHUT_WR)
            try:
                while part := connection.recv(65536):
                    self.heard += part
            except ConnectionResetError:
                self.heard += b"(reset)"


def talked(answer, expect, *, closes, **options):
    abuse = Abuse("an-abuse", "", options.pop("sent", "X"), {}, **options).filled(str)
    with Listener(answer, closes=closes) as listener:
        heard = talk(listener.place, abuse, parse_outcomes(expect))
    return heard, listener.heard


def test_a_connection_that_is_closed_is_told_from_one_that_is_kept():
    assert talked(said(), "400", closes=True)[0].end == "closed"
    assert talked(said(200, Connection=None), "200, kept", closes=False)[0].end == "kept"
    # What announces its end will end, whether it has by now or not.
    assert talked(said(200), "200, kept", closes=True)[0].end == "closed"


def test_bytes_are_written_out_and_sent_as_they_are():
    sent = "{3*ab}{..}\r\nX: {a..9}!\r\n\u00ff\u0000"
    assert (
        talked(said(), "400", closes=True, sent=sent)[1] == b"ababab{..}\r\nX: aaaaa!\r\n\xff\x00"
    )


def test_what_drips_is_sent_behind_the_rest_and_no_more_once_the_daemon_has_ended():
    assert (
        talked(b"", "nothing", closes=False, drip="bc", every_seconds=0.01, end="half-close")[1]
        == b"Xbc"
    )
    heard, sent = talked(said(), "400", closes=True, drip="b" * 9999, every_seconds=0.01)
    assert heard.said == said()
    assert len(sent) < 1000


def test_who_resets_is_gone_without_a_farewell():
    assert talked(b"", "nothing", closes=False, end="reset")[1].endswith(b"(reset)")


# Loading

GOOD = """
[[abuse]]
name = "an-abuse"
reason = "somebody tries something by it"
send = ["GET / HTTP/1.1", "", ""]
expect = "400"
"""


@pytest.mark.parametrize(
    ("found", "instead", "problem"),
    [
        ('expect = "400"', "", "expect is missing"),
        ('expect = "400"', 'expect = "4o0"', "expect has '4o0'"),
        ('expect = "400"', 'expect = "400 or 408"', "expected differs"),
        ('expect = "400"', 'expect = "400"\ndiffers = "because"', "expected no differs"),
        ('expect = "400"', 'expect = "400"\nend = "slam"', "end is 'slam'"),
        ('expect = "400"', 'expect = "400"\nexpect_in.plian = "200"', "did you mean 'plain'"),
        ('expect = "400"', 'expect = "400"\ndrip = ["a"]', "one without the other"),
        ('expect = "400"', 'expect = "400"\nexpekt = "400"', "did you mean 'expect'"),
        ("GET /", "GET /{bearr}", "did you mean 'bearer'"),
        ("GET /", "GET /\u20ac", "is no bytes"),
        ("somebody tries something by it", "x", "expected what it tries"),
    ],
)
def test_a_case_that_says_less_than_it_seems_to_is_refused(tmp_path, found, instead, problem):
    (tmp_path / "cases.toml").write_text(GOOD.replace(found, instead))
    with pytest.raises(BadCaseError, match=re.escape(problem)):
        load_abuses(tmp_path, configurations=["plain"])


def test_a_good_case_is_taken(tmp_path):
    (tmp_path / "cases.toml").write_text(GOOD)
    (abuse,) = load_abuses(tmp_path, configurations=["plain"])
    assert abuse.sent == "GET / HTTP/1.1\r\n\r\n"
    assert not abuse.is_slow
