"""The runner itself: that what is wrong is found, against a service that answers what it is told."""

import socket
import threading
from contextlib import contextmanager

import pytest

from tests.wire.__main__ import main
from tests.wire.case import Case, Expectation
from tests.wire.checking import Found, problems
from tests.wire.running import run
from tests.wire.service import LackingError, Service
from tests.wire.talking import Answer, NoAnswerError, Place

REASON = "the tests of the runner need it"
TTL = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
TOKEN = "AQAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


def answer(status=200, body=b"value", **headers):
    """Return the bytes of an answer that owes nothing; a header that is None is left out."""
    usual = {"Server": "EC2ws", "Content-Type": "text/plain", TTL: "300"}
    length = {"Content-Length": str(len(body))}
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    lines = [f"{name}: {text}" for name, text in {**usual, **length, **named}.items() if text]
    return "\r\n".join([f"HTTP/1.1 {status} Said", *lines, "", ""]).encode() + body


class Stub:
    """A service that mints one token and answers everything else with the same bytes."""

    def __init__(self, said):
        self.said = said
        self.heard = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.place = Place("127.0.0.1", self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(30)
        self._listener.close()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                heard = connection.recv(65536)
                self.heard.append(heard)
                minting = heard.startswith(b"PUT /latest/api/token ")
                connection.sendall(answer(body=TOKEN.encode()) if minting else self.said)
                connection.shutdown(socket.SHUT_WR)
                # Closing before everything was read would reset the connection.
                while connection.recv(65536):
                    pass


def a_case(path="/latest/meta-data/instance-id", **expect):
    request = {name: expect.pop(name) for name in ("method", "raw") if name in expect}
    return Case("a-case", REASON, Expectation(**{"status": (200,), **expect}), path=path, **request)


def found(case, said):
    with Stub(said) as stub:
        outcome = run(case, Service(stub.place, bearer="the-bearer"))
    assert outcome.lacking is None
    return "\n".join(outcome.problems)


def test_a_case_that_holds_has_no_problem():
    case = a_case(headers=(("X", "1"),), absent=("Y",), body="value")
    assert found(case, answer(X="1")) == ""


@pytest.mark.parametrize(
    ("expect", "said", "problem"),
    [
        ({"status": (404,)}, answer(), "status 200, expected 404"),
        ({"body": "value"}, answer(body=b"valu"), "body b'valu', expected b'value'"),
        ({"body": "value"}, answer(body=b"value\n"), "expected no newline"),
        ({}, answer(body=b"value\n"), "expected no newline"),
        ({"body_matches": "v.*"}, answer(body=b"Value"), "expected one that matches"),
        ({"body_matches": "val"}, answer(), "expected one that matches"),
        ({"body_empty": True}, answer(), "expected it empty"),
        ({"body_bytes": 6}, answer(), "5 bytes of body, expected 6"),
        ({"headers": (("X", "1"),)}, answer(), "X is [], expected '1' once"),
        ({"headers": (("X", "1"),)}, answer(X="2"), "X is ['2'], expected '1' once"),
        ({"headers": (("X", "~[0-9]"),)}, answer(X="23"), "X is ['23'], expected '~[0-9]' once"),
        ({"absent": ("X",)}, answer(X="2"), "expected it absent"),
        ({"lines_include": ("b",)}, answer(body=b"a\nc"), "lacks 'b'"),
        ({"lines_include": ("b",)}, answer(body=b"a\nb/"), "lacks 'b'"),
        ({"lines_exclude": ("a",)}, answer(body=b"a\nc"), "has 'a'"),
        ({"lines_sorted": True}, answer(body=b"c\na"), "alphabetical"),
        ({"json": {"a": "1"}}, answer(body=b'{"a": 1}'), "a is b'1', expected '1'"),
        ({"json": {"a": "~[0-9]"}}, answer(body=b'{"a": "12"}'), "expected '~[0-9]'"),
        ({"json": {"b": "1"}}, answer(body=b'{"a": "1"}'), "b is b'None'"),
        ({"json": {"a": "1"}}, answer(body=b'["a"]'), "expected a JSON object"),
        ({"json_keys": ("a", "b")}, answer(body=b'{"b": 1, "a": 1}'), "in this order"),
        ({"json_keys": ("a",)}, answer(body=b'{"a": 1, "b": 1}'), "in this order"),
    ],
)
def test_what_a_case_expects_and_does_not_get_is_found(expect, said, problem):
    assert problem in found(a_case(**expect), said)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (answer(Content_Length=None), "Content-Length is []"),
        (answer(Content_Length="4"), "after the body came b'e'"),
        (answer(Content_Length="6"), "Content-Length is 6, found 5 bytes"),
        (answer(Transfer_Encoding="chunked"), "Transfer-Encoding"),
        (answer(Content_Encoding="gzip"), "Content-Encoding"),
        (answer(Location="/latest/"), "Location"),
        (answer(Access_Control_Allow_Origin="*"), "CORS"),
        (answer(Server="nginx"), "Server is ['nginx'], expected 'EC2ws'"),
        (answer(Server=None), "Server is [], expected 'EC2ws'"),
        (answer(**{TTL: None}), "the seconds that the token has left"),
        (answer(**{TTL: "0"}), "the seconds that the token has left"),
        (answer().replace(b"HTTP/1.1", b"HTTP/1.0"), "expected HTTP/1.1"),
        (answer(404, b"no /latest/meta-data/instance-id"), "repeats the path"),
        (answer(404, f"no {TOKEN}".encode()), "repeats the header X-aws-ec2-metadata-token"),
        (answer(404, b"", X="no /latest/meta-data/instance-id"), "repeats the path"),
        (b"", "no answer: the connection ended"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "expected a status line"),
    ],
)
def test_what_every_answer_owes_is_looked_at_without_being_asked_for(said, problem):
    assert problem in found(a_case(status=(200, 404)), said)


def test_a_head_that_has_a_body_is_found():
    assert "after the body came b'value'" in found(a_case(method="HEAD"), answer())


def test_a_head_is_compared_with_its_get():
    head = a_case(method="HEAD", same_as="/latest/meta-data/instance-id")
    said = answer(body=b"", Content_Length="5")
    assert "Content-Length is ['5']" not in found(head, said)


def test_an_answer_that_differs_from_another_path_s_is_found():
    # The stub gives each path the same answer, so the case's own must be the odd one: a token.
    case = Case(
        "a-case",
        REASON,
        Expectation(status=(200,), same_as="/latest/"),
        method="PUT",
        path="/latest/api/token",
    )
    assert "as of GET /latest/" in found(case, answer())


RAW = ("GET /latest/ HTTP/1.1", "Host: x", "", "")


def test_a_connection_that_ends_against_expectation_is_found():
    said = answer(Connection="close")
    assert "expected it to stay open" in found(a_case(raw=RAW, closed=False), said)


def test_a_connection_that_stays_open_against_expectation_is_found():
    kept = Found(b"", (Answer("HTTP/1.1", 200, (("Content-Length", "0"),), b"", closed=False),))
    assert any("stayed open" in line for line in problems(a_case(closed=True), kept))


def test_fewer_answers_than_expected_are_found():
    assert "no answer" in found(a_case(raw=RAW, answers=2), answer())


def test_exact_bytes_are_sent():
    raw = ("PUT /x HTTP/1.0", "x-ODD:  {each}", "", "{token}")
    case = Case("a-case", REASON, Expectation((200,)), raw=raw, each="ä")
    with Stub(answer()) as stub:
        run(case, Service(stub.place))
    assert stub.heard[-1] == f"PUT /x HTTP/1.0\r\nx-ODD:  ä\r\n\r\n{TOKEN}".encode()


def test_a_request_is_made_of_its_parts():
    case = Case(
        "a-case",
        REASON,
        Expectation((200,)),
        method="POST",
        headers=(("X", "{each}"), ("x", "2")),
        body="b",
        each="1",
    )
    with Stub(answer()) as stub:
        run(case, Service(stub.place))
    host = f"Host: {stub.place.authority}"
    lines = [
        "POST / HTTP/1.1",
        host,
        "X: 1",
        "x: 2",
        "Content-Length: 1",
        "Connection: close",
        "",
        "b",
    ]
    assert stub.heard == ["\r\n".join(lines).encode()]


def test_a_forged_token_is_no_valid_one_and_as_long():
    with Stub(answer()) as stub:
        forged = Service(stub.place).fact("forged_token")
    assert len(forged) == len(TOKEN)
    assert forged != TOKEN


def test_a_token_that_never_expires_is_no_expired_one():
    with Stub(answer()) as stub, pytest.raises(NoAnswerError, match="still opens"):
        Service(stub.place, pause=lambda: None).fact("expired_token")


def test_what_a_service_lacks_is_said():
    with Stub(answer(404, b"")) as stub, pytest.raises(LackingError, match="mac is 404"):
        Service(stub.place).fact("mac")


def test_a_case_that_needs_what_is_lacking_is_not_held():
    case = a_case(path="/latest/meta-data/network/interfaces/macs/{mac}/")
    with Stub(answer(404, b"")) as stub:
        outcome = run(case, Service(stub.place))
    assert "{mac}" in outcome.lacking
    assert outcome.problems == ()


def test_credentials_are_in_no_problem():
    said = answer(body=b'{"SecretAccessKey": "the-secret-key", "Token": "the-session"}')
    case = a_case(body="other", body_matches="x", json={"Token": "~y", "SecretAccessKey": "~z"})
    told = found(case, said)
    assert "expected" in told
    assert "the-se" not in told


@contextmanager
def telling(said, *words):
    with Stub(said) as stub:
        yield [f"http://127.0.0.1:{stub.place.port}", "--on", "imdsd", *words]


def test_the_command_tells_each_failure_with_its_reason_and_fails(capsys):
    with telling(answer(), "--only", "leaf-instance-action") as words:
        assert main(words) == 1
    printed = capsys.readouterr().out
    assert "leaf-instance-action: GET /latest/meta-data/instance-action: body b'value'" in printed
    assert "old handlers poll it" in printed
    assert "0 cases hold, 1 do not" in printed


def test_the_command_succeeds_when_every_case_holds(capsys):
    with telling(answer(body=b"none"), "--only", "leaf-instance-action") as words:
        assert main(words) == 0
    assert "1 cases hold, 0 do not" in capsys.readouterr().out


def test_the_command_fails_where_no_case_was_chosen():
    with telling(answer(), "--only", "no-such-case") as words:
        assert main(words) == 1


def test_the_command_fails_where_nobody_answers(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert main([f"http://127.0.0.1:{port}"]) == 1
    assert "does not answer as IMDS" in capsys.readouterr().err


def test_a_bearer_that_cannot_be_read_is_a_usage_error(tmp_path, capsys):
    with telling(answer()) as words, pytest.raises(SystemExit) as exit_:
        main([*words, "--bearer-file", str(tmp_path / "bearer")])
    assert exit_.value.code == 2
    assert "the bearer cannot be read" in capsys.readouterr().err


def test_the_command_says_which_cases_need_a_bearer(capsys):
    with telling(answer(), "--only", "container-one-line") as words:
        assert main(words) == 0
    assert "container-one-line: not applicable: {bearer}" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["127.0.0.1:9254", "https://127.0.0.1", "http://", "http://x/path"])
def test_what_is_no_base_url_is_a_usage_error(url, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([url])
    assert exit_.value.code == 2
    assert "expected http://HOST" in capsys.readouterr().err


def test_the_cases_are_listed_without_a_service(capsys):
    assert main(["--list", "--on", "ec2", "--only", "role-*"]) == 0
    printed = capsys.readouterr().out
    assert "404-unknown" not in printed
    assert "role-listing: GET /latest/meta-data/iam/security-credentials/" in printed
    assert "role-document-key-order:" not in printed


def test_a_link_local_service_is_taken_for_ec2(capsys):
    assert main(["--list", "--only", "role-document-*", "http://169.254.169.254"]) == 0
    assert "role-document-key-order-on-ec2" in capsys.readouterr().out
