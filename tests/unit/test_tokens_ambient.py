import asyncio
import contextlib
import json
import shlex

import pytest

from imdsd.errors import MintError
from imdsd.tokens.ambient import AmbientSource, FindingKind, survey
from tests.fakes.web_identity import make_token

TOKEN = make_token()
OTHER = make_token(sub="another")
AUDIENCE = "sts.amazonaws.com"
URL, REQUEST_TOKEN = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
HEADER_SECRET = "hunter2"


@pytest.fixture
def token_file(tmp_path):
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    return file


@pytest.fixture
def bin_path(tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


@pytest.fixture
def ambient(tmp_path):
    """Builds a source for an environment, on a machine that is no Ona environment by itself."""

    def build(environ):
        return AmbientSource(environ, audience=AUDIENCE, ona_directory=tmp_path / "gitpod")

    return build


@pytest.fixture
def look(tmp_path):
    def look(environ):
        return survey(environ, audience=AUDIENCE, ona_directory=tmp_path / "gitpod")

    return look


def put_program(folder, name, token):
    program = folder / name
    program.write_text(
        "#!/bin/sh\n"
        f'[ "$*" = "idp token --audience {AUDIENCE}" ] || exit 7\n'
        f"echo {shlex.quote(token)}\n"
    )
    program.chmod(0o755)


@contextlib.asynccontextmanager
async def github():
    """GitHub's token service, which refuses a wrong header or audience."""

    async def handle(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        right = head.startswith(f"GET /t?api-version=2.0&audience={AUDIENCE} ".encode())
        right = right and b"Authorization: Bearer hunter2\r\n" in head
        body = json.dumps({"value": TOKEN}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\n" if right else b"HTTP/1.1 401 No\r\n")
        writer.write(b"Content-Length: %d\r\nContent-Type: application/json\r\n\r\n" % len(body))
        writer.write(body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}/t?api-version=2.0"
        yield {URL: url, REQUEST_TOKEN: HEADER_SECRET}


def kinds(findings):
    return [finding.kind.value for finding in findings]


def test_the_survey_keeps_the_documented_order(look):
    findings = look({})
    assert [f.name for f in findings] == ["AWS_WEB_IDENTITY_TOKEN_FILE", "GitHub Actions", "Ona"]
    assert kinds(findings) == ["absent"] * 3


async def test_the_token_file_of_the_environment_is_found(ambient, token_file):
    source = ambient({"AWS_WEB_IDENTITY_TOKEN_FILE": str(token_file)})
    assert source.description == "auto: nothing found yet"
    assert (await source.mint()).reveal() == TOKEN
    assert source.description == f"auto: file {token_file}"
    assert not source.minted_on_demand
    assert source.renewable


async def test_github_actions_is_found_and_asked_for_the_audience(ambient):
    async with github() as environ:
        source = ambient(environ)
        assert (await source.mint()).reveal() == TOKEN
    assert source.description == "auto: GitHub Actions"
    assert source.minted_on_demand


@pytest.mark.parametrize("name", ["ona", "gitpod"])
async def test_the_program_of_an_ona_environment_is_found(ambient, bin_path, name):
    put_program(bin_path, name, TOKEN)
    source = ambient({"GITPOD_ENVIRONMENT_ID": "e1", "PATH": f"{bin_path}:/usr/bin:/bin"})
    assert (await source.mint()).reveal() == TOKEN
    assert source.description == f"auto: command {name} idp token --audience {AUDIENCE}"


async def test_the_newer_of_onas_programs_comes_first(ambient, bin_path):
    put_program(bin_path, "gitpod", OTHER)
    put_program(bin_path, "ona", TOKEN)
    source = ambient({"GITPOD_ENVIRONMENT_ID": "e1", "PATH": f"{bin_path}:/bin"})
    assert (await source.mint()).reveal() == TOKEN


async def test_an_ona_environment_is_known_by_its_directory_too(ambient, bin_path, tmp_path):
    (tmp_path / "gitpod").mkdir()
    put_program(bin_path, "gitpod", TOKEN)
    assert (await ambient({"PATH": f"{bin_path}:/bin"}).mint()).reveal() == TOKEN


async def test_the_file_comes_before_github_and_ona(ambient, token_file, bin_path):
    put_program(bin_path, "ona", OTHER)
    environ = {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token_file),
        URL: "https://tokens.example/",
        REQUEST_TOKEN: HEADER_SECRET,
        "GITPOD_ENVIRONMENT_ID": "e1",
        "PATH": str(bin_path),
    }
    assert (await ambient(environ).mint()).reveal() == TOKEN


async def test_the_source_is_looked_for_at_each_mint(ambient, bin_path):
    source = ambient({"GITPOD_ENVIRONMENT_ID": "e1", "PATH": f"{bin_path}:/bin"})
    with pytest.raises(MintError, match="without ona or gitpod on the PATH"):
        await source.mint()
    put_program(bin_path, "ona", TOKEN)
    assert (await source.mint()).reveal() == TOKEN


async def test_where_nothing_is_found_all_that_was_looked_for_is_named(ambient):
    with pytest.raises(MintError) as caught:
        await ambient({}).mint()
    for name in ("AWS_WEB_IDENTITY_TOKEN_FILE", URL, "GITPOD_ENVIRONMENT_ID"):
        assert name in caught.value.reason
    for choice in ("--token-command", "--token-file", "[token]"):
        assert choice in caught.value.remedy


@pytest.mark.parametrize(
    ("environ", "place", "detail"),
    [
        ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere/token"}, 0, "No such file or directory"),
        ({URL: "https://a.example/"}, 1, f"{URL} is set but {REQUEST_TOKEN} is not"),
        ({REQUEST_TOKEN: HEADER_SECRET}, 1, f"{REQUEST_TOKEN} is set but {URL} is not"),
        ({URL: "http://a.example/", REQUEST_TOKEN: HEADER_SECRET}, 1, "expected https"),
        ({URL: "https://a.example/", REQUEST_TOKEN: "hunter2\n"}, 1, "printable ASCII"),
        ({"GITPOD_ENVIRONMENT_ID": "e1", "PATH": "/nowhere"}, 2, "without ona or gitpod"),
    ],
)
async def test_what_is_there_but_broken_ends_the_search(ambient, look, environ, place, detail):
    finding = look(environ)[place]
    assert finding.kind is FindingKind.BROKEN
    assert detail in finding.detail
    with pytest.raises(MintError, match="is there but broken") as caught:
        await ambient(environ).mint()
    assert detail in caught.value.reason
    assert HEADER_SECRET not in str(caught.value)


async def test_a_broken_file_is_not_hidden_by_a_usable_program(ambient, bin_path):
    put_program(bin_path, "ona", TOKEN)
    environ = {
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere/token",
        "GITPOD_ENVIRONMENT_ID": "e1",
        "PATH": str(bin_path),
    }
    with pytest.raises(MintError, match="AWS_WEB_IDENTITY_TOKEN_FILE is there but broken"):
        await ambient(environ).mint()


def test_an_empty_variable_counts_as_absent(look):
    environ = {"AWS_WEB_IDENTITY_TOKEN_FILE": "", URL: "", REQUEST_TOKEN: ""}
    assert kinds(look(environ)) == ["absent"] * 3


def test_a_github_job_without_the_permission_is_told_so(look):
    assert "id-token: write" in look({"GITHUB_ACTIONS": "true"})[1].detail


def test_the_program_alone_makes_no_ona_environment(look, bin_path):
    put_program(bin_path, "gitpod", TOKEN)
    finding = look({"PATH": str(bin_path)})[2]
    assert finding.kind is FindingKind.ABSENT
    assert "gitpod is on the PATH" in finding.detail


def test_a_survey_holds_no_secret(look):
    environ = {URL: "https://a.example/?key=sesame", REQUEST_TOKEN: HEADER_SECRET}
    text = repr(look(environ))
    assert HEADER_SECRET not in text
    assert "sesame" not in text
