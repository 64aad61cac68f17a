"""Each guard by itself, without a socket: what it lets pass, and what it says of the rest."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from imdsd.endpoints.guards import Listener, Refusal, host_names, refusal
from imdsd.endpoints.message import Request
from imdsd.host.peer import Peer

HOST = ("Host", "localhost")
LOCAL, REMOTE = ("127.0.0.1", 9254), ("127.0.0.1", 40000)


def refused(*headers, path="/v1/credentials", query="", hosts=("localhost",)):
    return refusal(
        Request(
            method="GET",
            path=path,
            query=query,
            headers=CIMultiDictProxy(CIMultiDict(headers)),
            connection=SimpleNamespace(hosts=frozenset(hosts)),
        )
    )


def test_a_plain_request_passes():
    assert refused(HOST) is None


def test_what_clients_send_beside_passes():
    assert (
        refused(HOST, ("Authorization", "x"), ("Sec-Fetch-Mode", "cors"), ("Accept", "*")) is None
    )


@pytest.mark.parametrize(
    "headers", [[], [HOST, HOST], [HOST, ("host", "localhost")], [("Host", "")], [("Host", "x")]]
)
def test_one_host_that_is_ours_is_asked_for(headers):
    message = "Host is not an address of this daemon"
    assert refused(*headers) == Refusal("host", 403, message)


def test_a_host_is_ours_in_any_case():
    assert refused(("Host", "LocalHost")) is None


@pytest.mark.parametrize(
    "name",
    [
        "Forwarded",
        "Via",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Proto",
        "X-Forwarded-Server",
        "X-Real-IP",
        "X-Client-IP",
        "X-Envoy-External-Address",
        "CF-Connecting-IP",
        "True-Client-IP",
    ],
)
def test_a_proxy_is_known_by_what_it_adds_even_if_that_is_empty(name):
    message = f"requests that came through a proxy ({name}) are refused"
    assert refused(HOST, (name.lower(), "")) == Refusal("proxy", 403, message)


@pytest.mark.parametrize("name", ["Origin", "Referer", "Sec-Fetch-Site"])
def test_a_page_is_known_by_what_its_browser_adds_even_if_that_is_empty(name):
    message = f"requests of web pages ({name}) are refused"
    assert refused(HOST, (name.lower(), "")) == Refusal("browser", 403, message)


@pytest.mark.parametrize(
    "path",
    ["", "*", "localhost:80", "http://localhost/", "v1/", "/a b", "/\x7f", "/\x00", "/é", "/a\t"],
)
def test_a_target_is_a_path_in_printable_ascii(path):
    message = "the request target is not a plain path"
    assert refused(HOST, path=path) == Refusal("target", 400, message, ends_connection=True)


@pytest.mark.parametrize("query", ["?é", "?a b", "?\x7f"])
def test_a_query_is_in_printable_ascii_too(query):
    assert refused(HOST, query=query).guard == "target"
    assert refused(HOST, query="?a=b&c") is None


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E)))
def test_every_path_in_printable_ascii_is_a_target(rest):
    assert refused(HOST, path="/" + rest) is None


@pytest.mark.parametrize("path", ["/!", "/~", "/a~!", "//", "/%00"])
def test_the_first_and_the_last_printable_character_may_stand_in_a_target(path):
    assert refused(HOST, path=path) is None


def unclear_end(message):
    return Refusal("framing", 400, message, ends_connection=True)


@pytest.mark.parametrize("name", ["Content-Length", "Transfer-Encoding"])
def test_what_frames_a_request_stands_in_it_once(name):
    twice = [(name, "1"), (name.lower(), "1")]
    assert refused(HOST, *twice) == unclear_end(f"more than one {name} header")


def test_a_request_is_authorized_by_one_header_and_its_end_is_clear_without():
    twice = [("Authorization", "1"), ("authorization", "1")]
    found = refused(HOST, *twice)
    assert found == Refusal("framing", 400, "more than one Authorization header")
    assert not found.ends_connection


def test_a_body_has_one_length():
    both = [("Content-Length", "5"), ("Transfer-Encoding", "chunked")]
    assert refused(HOST, *both) == unclear_end("both Content-Length and Transfer-Encoding")


@pytest.mark.parametrize(
    "header", [("Content-Length", "5"), ("Transfer-Encoding", " Chunked ")], ids=str
)
def test_a_body_by_its_length_or_in_chunks_passes(header):
    assert refused(HOST, header) is None


@pytest.mark.parametrize("coding", ["gzip", "gzip, chunked", "chunked, chunked", "", "identity"])
def test_no_other_transfer_coding_passes(coding):
    message = "a Transfer-Encoding other than chunked"
    assert refused(HOST, ("Transfer-Encoding", coding)) == unclear_end(message)


def test_a_request_with_several_faults_is_refused_by_the_first_guard():
    page, proxy, coding = ("Origin", "y"), ("Via", "x"), ("Transfer-Encoding", "gzip")
    assert refused(page, proxy, coding, path="*").guard == "target"
    assert refused(page, proxy, coding).guard == "framing"
    assert refused(page, proxy).guard == "host"
    assert refused(page, proxy, HOST).guard == "proxy"
    assert refused(page, HOST).guard == "browser"


class Peers:
    """One connection, of one peer; whoever asks for another gets nobody."""

    def __init__(self, peer):
        self._peer = peer

    def find_peer(self, local, remote):
        return self._peer if (local, remote) == (LOCAL, REMOTE) else None


def listener(imds="attested", *, peer=None, **names):
    return Listener(
        frozenset({"localhost"}),
        imds=imds,
        peers=Peers(peer),
        allowed_uids=frozenset({1000, 1001}),
        **names,
    )


def test_a_listener_knows_by_which_hosts_it_may_be_called():
    assert listener().hosts == {"localhost"}


def test_a_listener_finds_the_peer_of_a_connection_by_both_its_ends():
    peer = Peer(1000, 7)
    assert listener(peer=peer).find_peer(LOCAL, REMOTE) is peer


@pytest.mark.parametrize(
    ("imds", "peer", "allowed"),
    [
        ("attested", Peer(1000, 7), True),
        ("attested", Peer(1001, 7), True),
        ("attested", Peer(0, 7), False),
        ("attested", None, False),
        ("open", Peer(0, 7), True),
        ("open", None, True),
        ("off", Peer(1000, 7), False),
        ("off", None, False),
    ],
)
def test_the_metadata_service_is_for_the_users_of_its_listener(imds, peer, allowed):
    assert listener(imds).imds_allowed(lambda: peer) is allowed


@pytest.mark.parametrize("imds", ["open", "off"])
def test_nobody_asks_the_kernel_where_the_answer_is_certain(imds):
    asked = []
    listener(imds).imds_allowed(lambda: asked.append(1))
    assert asked == []


@pytest.mark.parametrize(
    ("peer", "user"), [(Peer(1000, 7), "ada"), (Peer(1001, 7), "1001"), (None, "unknown")]
)
def test_a_peer_is_called_by_its_users_name_or_number(peer, user):
    assert listener(user_names={1000: "ada"}).user_of(peer) == user


def test_without_any_names_a_peer_is_called_by_its_number():
    assert listener().user_of(Peer(1000, 7)) == "1000"


def test_a_listener_is_called_by_its_address_and_the_names_of_the_loopback():
    assert host_names([("10.0.0.1", 80), ("fd00:ec2::254", 81)]) == {
        "10.0.0.1", "10.0.0.1:80", "[fd00:ec2::254]", "[fd00:ec2::254]:81",
        "127.0.0.1", "127.0.0.1:80", "127.0.0.1:81",
        "localhost", "localhost:80", "localhost:81", "[::1]", "[::1]:80", "[::1]:81",
    }  # fmt: skip
