"""Secrets that are known to the test, through every input: found where they belong, nowhere else.

Found means any run of characters that is long enough to be no accident, not only the whole.
"""

import asyncio
import json
import re
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from imdsd.sandbox import faults
from tests.fakes.upstream import upstream_imds
from tests.system.daemon import SERVE
from tests.system.machine import eventually
from tests.system.settings import ARN, AUDIENCE, role, settings

BEARER = "canaryBearer-4f1c7a9e2b6d8035-canaryBearer"
HEADER = "canaryHeader-9b27d1e8f03c5a64-canaryHeader"
VARIABLE_HEADER = "canaryFromVariable-c81e5d7fa3b0-canaryFromVariable"
PRINTED = "canaryPrinted-71e0b4c9d2f58a36-canaryPrinted"
UPSTREAM_VALUE = "canaryUpstream-5e2c90d7b1f4a836-canaryUpstream"
PIECE = 16
"""A leak of twice this length holds at least one piece whole, wherever it begins."""

OTHER_SESSION = "arn:aws:sts::123456789012:assumed-role/other/imdsd"
PAGES = ("/status", "/metrics", "/readyz", "/healthz", "/v1/credentials/none", "/nothing")


class Canaries:
    """The secrets of one test, cut into pieces."""

    def __init__(self):
        self._pieces = {}

    def add(self, name, secret):
        for start in range(0, len(secret) - PIECE + 1, PIECE):
            self._pieces[secret[start : start + PIECE]] = name

    def add_token(self, name, token):
        # The header of a token is the same for all and says nothing.
        self.add(name, token.partition(".")[2])

    def found_in(self, text):
        return sorted({name for piece, name in self._pieces.items() if piece in text})


@pytest.fixture
def canaries():
    canaries = Canaries()
    for name, secret in (
        ("bearer", BEARER),
        ("header", HEADER),
        ("header from a variable", VARIABLE_HEADER),
        ("what a command printed", PRINTED),
    ):
        canaries.add(name, secret)
    return canaries


class Tokens:
    """A different web identity token for each kind of source; `spoil` changes what they give."""

    def __init__(self, place, sandbox, canaries):
        self.place = place
        self._sandbox = sandbox
        self._canaries = canaries
        self.variable = self.mint("variable")
        self.become()

    def mint(self, name, audience=AUDIENCE, **claims):
        token = self._sandbox.issuer.issue(audience, overrides={"canary": name, **claims}).reveal()
        self._canaries.add_token(f"token by {name}", token)
        return token

    def become(self, audience=AUDIENCE, **claims):
        """Let command and file give sound tokens, but for what is asked."""
        for name in ("command", "file"):
            self.write(name, self.mint(name, audience, **claims))

    def write(self, name, text):
        path = self.place / name
        path.write_text(text)
        path.chmod(0o600)

    def roles(self):
        sandbox, place = self._sandbox, self.place
        headers = {"Authorization": f"Bearer {HEADER}", "X-Other": "${CANARY_HEADER}"}
        url = f"{sandbox.token_url}?audience={{audience}}"
        # Both streams carry it, so that the last words of a failure do, too.
        shell = f"cat {place}/command; cat {place}/command >&2; test -e {place}/works"
        sources = {
            "command": {"command": ["sh", "-c", shell]},
            "file": {"file": str(place / "file")},
            "http": {"url": url, "headers": headers},
            "variable": {"variable": "CANARY_TOKEN"},
        }
        return [
            role(sandbox, name=name, token=token, default=name == "command")
            for name, token in sources.items()
        ]


@pytest.fixture
def tokens(daemons, sandbox, canaries):
    (daemons.place() / "works").touch()
    return Tokens(daemons.place(), sandbox, canaries)


def start(daemons, sandbox, tokens, log_format, roles=None, *, program=SERVE, **top):
    run = daemons.place() / "run"
    run.mkdir(mode=0o700)
    bearer = run / "bearer"
    bearer.write_text(BEARER)
    bearer.chmod(0o600)
    roles = roles or tokens.roles()
    text = settings(sandbox, *roles, log_level="debug", log_format=log_format, **top)
    argv = [*program, "--config", str(daemons.configure(text))]
    return daemons.start(argv, CANARY_HEADER=VARIABLE_HEADER, CANARY_TOKEN=tokens.variable)


async def every_role_served(daemon):
    roles = (await daemon.status())["roles"]
    return all(role["served"] for role in roles)


async def pages(daemon):
    """What clients without the bearer, with a wrong one, and with the right one are told."""
    for path in PAGES:
        yield path, await daemon.ask("GET", path)
    yield "no bearer", await daemon.ask("GET", "/v1/credentials")
    yield "half a bearer", await daemon.ask("GET", "/v1/credentials", Authorization=BEARER[:-1])
    yield "as IMDS token", await daemon.ask("GET", "/latest/", X_aws_ec2_metadata_token=BEARER)
    yield "bad header", await daemon.ask("GET", "/status", Origin=BEARER)
    yield "huge header", await daemon.ask("GET", "/status", X_Huge=BEARER * 300)
    yield "not HTTP", await daemon.ask(f"{BEARER} ", "/status")
    yield "refused refresh", await daemon.ask("POST", f"/refresh/{BEARER}", Authorization="wrong")


async def verbs(daemons):
    """What the verbs that ask the daemon say, all at once."""
    asked = (["status"], ["status", "--json"], ["refresh"], ["wait", "--timeout=1"])
    done = await asyncio.gather(*(daemons.cli(*words) for words in asked))
    for words, each in zip(asked, done, strict=True):
        yield f"imdsd {' '.join(words)}", each.stdout + each.stderr


def files(daemon):
    """Everything that the daemon keeps, but for its bearer, and its own words in /proc."""
    for path in daemon.directory.rglob("*"):
        if path.is_file() and path.name != "bearer":
            yield str(path), path.read_text(errors="replace")
    for path in (daemon.directory.parent / "stdout", daemon.directory.parent / "stderr"):
        yield str(path), path.read_text(errors="replace")
    cmdline = Path(f"/proc/{daemon.pid}/cmdline")
    yield str(cmdline), cmdline.read_text()


async def leaks(daemons, daemon, canaries):
    """Return every place that tells a secret, with the names of what it tells."""
    told = {name: str(reply) for name, reply in [each async for each in pages(daemon)]}
    told |= {name: text async for name, text in verbs(daemons)}
    told |= dict(files(daemon))
    return {place: found for place, text in told.items() if (found := canaries.found_in(text))}


async def learn_credentials(daemon, canaries):
    """Add what STS gave out to what must not be told; return the bodies that tell it rightly."""
    bodies = []
    for name in ("command", "file", "http", "variable"):
        reply = await daemon.credentials(f"/v1/credentials/{name}")
        if reply.status == 200:
            canaries.add(f"secret key of {name}", reply.json["SecretAccessKey"])
            canaries.add(f"session token of {name}", reply.json["Token"])
            bodies.append(reply.body.decode())
    return bodies


def spoil_mint(tokens, sandbox):
    tokens.write("command", PRINTED)
    tokens.write("file", f"{PRINTED} {PRINTED}")
    (tokens.place / "works").unlink()


def spoil_check(tokens, sandbox):
    tokens.become(audience="somebody-else")


def spoil_exchange(tokens, sandbox):
    sandbox.sts.faults.always(faults.error("InvalidIdentityToken"))


def spoil_answer(tokens, sandbox):
    sandbox.sts.faults.always(faults.malformed_xml())


def spoil_publish(tokens, sandbox):
    sandbox.sts.faults.always(faults.other_role(OTHER_SESSION))


def spoil_claims(tokens, sandbox):
    # Half of a surrogate pair, which JSON can carry and nothing can write down.
    tokens.become(environment_id="\ud800")


@pytest.mark.parametrize("log_format", ["json", "text"])
async def test_no_output_tells_a_secret_whatever_fails(
    daemons, sandbox, tokens, canaries, log_format
):
    daemon = await start(daemons, sandbox, tokens, log_format).ready()
    await daemon.until(lambda: every_role_served(daemon), what="all roles are served")
    await learn_credentials(daemon, canaries)
    assert await leaks(daemons, daemon, canaries) == {}
    for spoil in (
        spoil_mint, spoil_check, spoil_exchange, spoil_answer, spoil_publish, spoil_claims,
    ):  # fmt: skip  # one a line says no more
        spoil(tokens, sandbox)
        await daemon.refresh()
        await learn_credentials(daemon, canaries)
        assert await leaks(daemons, daemon, canaries) == {}, spoil.__name__
        sandbox.sts.faults.clear()
        (daemons.place() / "works").touch()
        tokens.become()
    for stage in ("mint", "check", "exchange", "publish"):
        assert stage in daemon.log  # or it did not fail where it was to fail


@pytest.mark.parametrize("verb", ["check-config", "serve"])
async def test_what_is_said_of_the_configuration_tells_no_secret(
    daemons, sandbox, tokens, canaries, verb
):
    await start(daemons, sandbox, tokens, "json").listening()
    variables = {"CANARY_HEADER": VARIABLE_HEADER, "CANARY_TOKEN": tokens.variable}
    config = daemons.place() / "imdsd.toml"
    sound = await daemons.cli(verb, "--config", str(config), **variables)
    config.write_text(config.read_text().replace("headers", "haeders"))
    broken = await daemons.cli(verb, "--config", str(config), **variables)
    assert broken.returncode == 78
    for done in (sound, broken):
        assert canaries.found_in(done.stdout + done.stderr) == []


async def login(daemons, canaries, *words, **variables):
    """Log in, and add what was written to what must not be told."""
    config = daemons.place() / "imdsd.toml"
    done = await daemons.cli("login", "--config", str(config), *words, **variables)
    written = daemons.place() / "home/.aws/credentials"
    text = written.read_text() if written.exists() else ""
    for option in ("aws_secret_access_key", "aws_session_token"):
        for number, secret in enumerate(re.findall(rf"(?m)^{option} = (.+)$", text)):
            canaries.add(f"{option} of login {number}", secret)
    return done


async def test_a_login_tells_its_secrets_to_the_file_alone(daemons, sandbox, tokens, canaries):
    daemon = await start(daemons, sandbox, tokens, "json").ready()
    variables = {"CANARY_HEADER": VARIABLE_HEADER, "CANARY_TOKEN": tokens.variable}
    said = []
    for name in ("command", "file", "http", "variable"):
        done = await login(daemons, canaries, "--role", name, **variables)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout + done.stderr)
    sandbox.sts.faults.always(faults.error("InvalidIdentityToken"))
    spoil_mint(tokens, sandbox)
    for name in ("command", "file", "http", "variable"):
        done = await login(daemons, canaries, "--role", name, **variables)
        assert done.returncode == 4, done.stderr
        said.append(done.stdout + done.stderr)
    home = daemons.place() / "home"
    kept = [path for path in home.rglob("*") if path.is_file()]
    assert [str(path.relative_to(home)) for path in kept] == [".aws/credentials"]
    assert len(canaries.found_in(kept[0].read_text())) == 8
    assert [canaries.found_in(each) for each in said] == [[]] * 8
    assert await leaks(daemons, daemon, canaries) == {}


async def test_files_that_are_kept_fresh_are_told_the_credentials_alone(
    daemons, sandbox, tokens, canaries
):
    place = daemons.place() / "home"
    files = [
        f'[role.files]\ncredentials_file = "{place}/{name}"'
        for name in ("command", "file", "http", "variable")
    ]
    # The last is there, and may not be written: what is told of that is read, too.
    place.mkdir()
    (place / "variable").mkdir()
    roles = [f"{text}\n{more}" for text, more in zip(tokens.roles(), files, strict=True)]
    daemon = await start(daemons, sandbox, tokens, "text", roles).ready()
    await daemon.until(lambda: every_role_served(daemon), what="all roles are served")
    bodies = await learn_credentials(daemon, canaries)
    assert len(bodies) == 4
    written = lambda: [path for path in place.iterdir() if path.is_file()]  # noqa: E731
    await daemon.until(lambda: len(written()) == 3, what="the files are written")
    await daemon.until(lambda: "not a regular file" in daemon.log, what="the failure is told")
    for path in written():
        found = canaries.found_in(path.read_text())
        assert [each for each in found if "key" in each] == [f"secret key of {path.name}"]
    assert await leaks(daemons, daemon, canaries) == {}


async def test_an_sts_that_repeats_the_token_is_not_repeated(daemons, sandbox, tokens, canaries):
    repeated = (daemons.place() / "file").read_text()
    sandbox.sts.faults.always(faults.error("AccessDenied", f"no access with {repeated} at all"))
    text = settings(sandbox, role(sandbox, token={"file": str(daemons.place() / "file")}))
    daemon = await daemons.serve(text, "--log-level", "debug").listening()
    await daemon.until(lambda: daemon.events("refresh_failed"), what="the exchange fails")
    assert (await daemon.role())["last_error"]["reason"].startswith(
        "AccessDenied: no access with … at all"
    )
    assert await leaks(daemons, daemon, canaries) == {}


async def test_the_search_finds_what_is_there(daemons, sandbox, tokens, canaries):
    daemon = await start(daemons, sandbox, tokens, "json").ready()
    await eventually(lambda: every_role_served(daemon), what="all roles are served")
    bodies = await learn_credentials(daemon, canaries)
    assert len(bodies) == 4
    for body in bodies:
        assert any(name.startswith("secret key") for name in canaries.found_in(body))
        assert any(name.startswith("session token") for name in canaries.found_in(body))
    assert canaries.found_in((daemon.directory / "bearer").read_text()) == ["bearer"]
    for name in ("command", "file"):
        text = (daemons.place() / name).read_text()
        assert f"token by {name}" in canaries.found_in(text)
        assert canaries.found_in(f"…{text[-60:-20]}…") == [f"token by {name}"]
    assert canaries.found_in(json.dumps({"role": ARN})) == []


async def test_a_canary_in_a_log_line_is_found(daemons, sandbox, tokens, canaries):
    daemon = await start(daemons, sandbox, tokens, "json").ready()
    with (daemon.directory.parent / "stderr").open("a") as log:
        log.write(f"a careless line with {BEARER}\n")
    found = await leaks(daemons, daemon, canaries)
    assert list(found.values()) == [["bearer"]]


async def examined(daemons, tokens, *words):
    """What the doctor prints and writes in a shell that holds secrets of its own."""
    bundle = daemons.place() / "bundle.json"
    done = await daemons.cli(
        "doctor",
        "--config",
        str(daemons.place() / "imdsd.toml"),
        "--verify",
        "--bundle",
        str(bundle),
        *words,
        CANARY_HEADER=VARIABLE_HEADER,
        CANARY_TOKEN=tokens.variable,
        AWS_CONTAINER_AUTHORIZATION_TOKEN=BEARER,
        AWS_SECRET_ACCESS_KEY=PRINTED,
        AWS_ACCESS_KEY_ID="AKIAEXAMPLE",
        HTTPS_PROXY=f"http://user:{HEADER}@127.0.0.1:1",
    )
    return done.stdout, done.stderr, bundle.read_text()


async def test_what_the_doctor_says_and_writes_tells_no_secret(daemons, sandbox, tokens, canaries):
    daemon = await start(daemons, sandbox, tokens, "json").ready()
    await learn_credentials(daemon, canaries)
    repeated = (daemons.place() / "command").read_text()
    seen = ""
    for words, spoil in (
        ((), lambda *_: None),
        (("--json", "--role", "http"), lambda *_: None),
        (("--role", "variable"), lambda *_: None),
        ((), spoil_mint),
        (("--role", "file"), spoil_mint),
        ((), spoil_check),
        (
            (),
            lambda *_: sandbox.sts.faults.always(
                faults.error("AccessDenied", f"no access with {repeated}")
            ),
        ),
        ((), spoil_answer),
        ((), spoil_claims),
    ):
        spoil(tokens, sandbox)
        for text in await examined(daemons, tokens, *words):
            assert canaries.found_in(text) == [], text
            seen += text
        sandbox.sts.faults.clear()
        (daemons.place() / "works").touch()
        tokens.become()
    # Or it did not come where a secret is at hand.
    for code in (
        "signature.verified", "sts.exchanged", "token.mint-failed", "claims.audience",
        "sts.access-denied", "sts.odd-answer", "daemon.running", "sdks.shadowed",
    ):  # fmt: skip
        assert code in seen, code


async def test_no_child_is_told_a_secret_by_its_arguments_or_variables(
    daemons, sandbox, tokens, canaries
):
    place = daemons.place()
    show = f"env >{place}/seen; tr '\\0' '\\n' </proc/$PPID/cmdline >>{place}/seen"
    token = {"command": ["sh", "-c", f"{show}; cat {place}/command"]}
    roles = [*tokens.roles()[1:], role(sandbox, name="command", token=token, default=True)]
    daemon = await start(daemons, sandbox, tokens, "json", roles).ready()
    await daemon.until(lambda: every_role_served(daemon), what="all roles are served")
    await learn_credentials(daemon, canaries)
    (place / "seen").unlink()
    assert (await daemon.refresh()).status == 200
    # What a person put into the daemon's variables is there for the command, too.
    given = ("CANARY_HEADER=", "CANARY_TOKEN=")
    lines = (place / "seen").read_text().splitlines()
    seen = [line for line in lines if not line.startswith(given)]
    assert len(seen) == len(lines) - len(given)
    assert any("warden.py" in line for line in seen)
    assert canaries.found_in("\n".join(seen)) == []


async def test_what_clients_and_upstream_hold_is_told_to_nobody_else(
    daemons, sandbox, tokens, canaries
):
    async with upstream_imds({"user-data": UPSTREAM_VALUE.encode()}) as upstream:
        canaries.add("a value of upstream", UPSTREAM_VALUE)
        metadata = {"upstream": upstream.url, "upstream_paths": ["user-data"]}
        daemon = start(daemons, sandbox, tokens, "json", metadata=metadata)
        await daemon.ready()
        put = await daemon.ask(
            "PUT", "/latest/api/token", X_aws_ec2_metadata_token_ttl_seconds="60"
        )
        token = put.body.decode()
        canaries.add("IMDS token", token)
        passed = await daemon.ask("GET", "/latest/user-data", X_aws_ec2_metadata_token=token)
        assert canaries.found_in(str(passed)) == ["a value of upstream"]
        for each in upstream.valid:
            canaries.add("upstream's token", each)
        spoilt = f"{token[:-1]}{'a' if token[-1] != 'a' else 'b'}"
        for path in ("/latest/", f"/latest/{token}", f"/latest/meta-data/{token}/"):
            for header in (token, spoilt):
                reply = await daemon.ask("GET", path, X_aws_ec2_metadata_token=header)
                assert canaries.found_in(str(reply)) == []
        assert await leaks(daemons, daemon, canaries) == {}
        await upstream.stop()

        async def missed():
            # What upstream said last is held for a while, and nobody is asked meanwhile.
            await daemon.ask("GET", "/latest/user-data", X_aws_ec2_metadata_token=token)
            return daemon.events("upstream_lost")

        await daemon.until(missed, what="upstream is missed")
        assert await leaks(daemons, daemon, canaries) == {}
        await upstream.start()


# Runs `imdsd` with a defect in each layer, there for as long as a file of the layer's name is: its
# exception says the secret that the layer has in its hands, which is written down for the test.
DEFECTIVE = """
import asyncio, sys
from pathlib import Path
from imdsd.cli import main
from imdsd.credentials import attempt
from imdsd.daemon.exchanging import ProcessExchange
from imdsd.daemon.telling import Telling
from imdsd.endpoints.container import ContainerEndpoint
from imdsd.endpoints.documents import DocumentRenderer
from imdsd.endpoints.imds import ImdsEndpoint
from imdsd.endpoints.ops import OpsEndpoint
from imdsd.tokens.command import CommandSource

place = Path(sys.argv.pop(1))

def crash(layer, *secrets):
    if (place / layer).exists():
        (place / f"{layer}.said").write_text(chr(10).join(secrets))
        raise KeyError(*secrets)

def after(kind, name, layer, secrets_of):
    act = getattr(kind, name)
    async def defective(self, *given, **more):
        result = await act(self, *given, **more)
        crash(layer, *secrets_of(result, *given))
        return result
    setattr(kind, name, defective)

def keys(session):
    return session.secret_access_key.reveal(), session.session_token.reveal()

def headers(_answer, request):
    secrets = [value for value in request.headers.values() if "canary" in value]
    if (place / "loop").exists():
        asyncio.get_running_loop().call_soon(crash, "loop", *secrets)
    return secrets

after(CommandSource, "mint", "mint", lambda token: [token.reveal()])
after(ProcessExchange, "exchange", "exchange", lambda session, _token: keys(session))
for kind in (ContainerEndpoint, ImdsEndpoint, OpsEndpoint):
    after(kind, "answer", kind.__name__, headers)

read = attempt.read_claims
attempt.read_claims = lambda token: (crash("check", token.reveal()), read(token))[1]
publish = DocumentRenderer.publish
DocumentRenderer.publish = lambda self, held: (crash("publish", *keys(held)), publish(self, held))[1]

async def feed_watchdog(self):
    while True:
        await asyncio.sleep(0.05)
        crash("daemon", (place / "run/bearer").read_text())
Telling.feed_watchdog = feed_watchdog

sys.exit(main())
"""
STAGES = ("mint", "check", "exchange", "publish")
ENDPOINTS = {
    "ContainerEndpoint": "/v1/credentials",
    "ImdsEndpoint": "/latest/",
    "OpsEndpoint": "/status",
}


class Defects:
    """Switches the defects of a daemon on and off, and learns what they say."""

    def __init__(self, place, canaries):
        self._place = place
        self._canaries = canaries

    def said(self, layer):
        """What its exception said; empty while the defect has not been met."""
        path = self._place / f"{layer}.said"
        return path.read_text() if path.exists() else ""

    @contextmanager
    def in_layer(self, layer):
        (self._place / layer).touch()
        yield
        (self._place / layer).unlink()
        assert self.said(layer), layer
        for secret in self.said(layer).split("\n"):
            self._canaries.add(f"what {layer} had", secret)


@pytest.mark.parametrize("log_format", ["json", "text"])
async def test_no_crash_tells_a_secret_in_whatever_layer_it_is(
    daemons, sandbox, tokens, canaries, log_format
):
    defects = Defects(daemons.place(), canaries)
    program = [sys.executable, "-c", DEFECTIVE, str(daemons.place()), "serve"]
    daemon = start(daemons, sandbox, tokens, log_format, tokens.roles()[:1], program=program)
    await daemon.ready()
    for layer in STAGES:
        with defects.in_layer(layer):
            assert (await daemon.refresh()).status == 503
        assert canaries.found_in(str(await daemon.status())) == []
        assert (await daemon.refresh()).status == 200
    assert daemon.log.count("refresh_crashed") == len(STAGES)
    secret = {"X_canary": f"canary-of-a-client-{'0123456789' * 4}"}
    for layer, path in ENDPOINTS.items():
        with defects.in_layer(layer):
            told = await daemon.ask("GET", path, Authorization=BEARER, **secret)
            assert told.status == 503
        assert canaries.found_in(str(told)) == []
    with defects.in_layer("loop"):
        await daemon.ask("GET", "/status", **secret)
        await daemon.until(lambda: "loop_error" in daemon.log, what="the loop's is told")
    assert await leaks(daemons, daemon, canaries) == {}
    with defects.in_layer("daemon"):
        assert await daemon.ended() == 1
    assert "internal error: ExceptionGroup" in daemon.log
    assert daemon.log.count("Traceback") >= len(STAGES) + 2
    assert canaries.found_in(daemon.log) == []
