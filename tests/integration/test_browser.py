"""A page of somebody else's in a real browser: it reaches the daemon, and reads nothing.

The daemon is at its weakest, with IMDSv1 allowed, and the page knows the bearer. The same page
reads whatever a server lets it read, so what it does not read is kept from it.
"""

import html
import json
import re
import sys
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.integration.browser import site
from tests.integration.daemon import running_daemon
from tests.support import need, room, scrubbed_environ

PORT = 9444
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=6000",
)
NAMES = {
    "site.test": site.SITE,
    "rebound.test": site.REBOUND_TO_DAEMON,
    "rebound-to-open.test": site.REBOUND_TO_OPEN,
}
RULES = ",".join(f"MAP {name}:80 127.0.0.1:{port}" for name, port in NAMES.items())
DAEMON, OPEN = f"http://127.0.0.1:{PORT}", f"http://127.0.0.1:{site.OPEN}"

# A page may not read these from elsewhere however willing the server is; of its own origin it may.
NEVER_READ = {"fetch without CORS"}
# A redirect leads a page of a rebound name to the site again.
OF_THE_SITE = {"fetch by a redirect", "frame by a redirect"}


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    """Return a daemon in a network namespace of its own, and somebody else's site beside it."""
    need("chromium")
    place = tmp_path_factory.mktemp("browser")
    words = ("demo", "--listen", f"127.0.0.1:{PORT}", "--allow-imdsv1")
    with room() as made, running_daemon(made, place, *words) as daemon:
        command = (sys.executable, "-m", "tests.integration.browser.site", str(PORT))
        here = str(Path(__file__).parents[2])
        environ = scrubbed_environ(place, PYTHONPATH=here)
        with made.running(*command, environ=environ) as serving:
            assert serving.stdout.readline() == "listening\n"
            yield daemon


@pytest.fixture
def visit(street, tmp_path):
    """Return what a page at this name read, by how it tried."""

    def visit(name, target, **more):
        bearer = street.variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
        asked = {"target": target, "role": "imdsd-demo", "bearer": bearer, **more}
        url = f"http://{name}/page?{urlencode(asked)}"
        options = (
            *FLAGS,
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--host-resolver-rules={RULES}",
        )
        command = (need("chromium"), *options, "--dump-dom", url)
        shown = street.room.run(*command, environ=scrubbed_environ(tmp_path)).stdout
        told = re.search(r'<pre id="found">(.+?)</pre>', shown, re.DOTALL)
        assert told, shown
        return json.loads(html.unescape(told[1]))

    return visit


def refusals(daemon, guard):
    """How many requests a guard has refused so far."""
    found = re.search(
        rf'^imdsd_guard_refusals_total{{guard="{guard}"}} ([0-9.]+)$',
        daemon.curl("/metrics"),
        re.MULTILINE,
    )
    return float(found[1]) if found else 0


def unread_of(look, *, but):
    """Return which ways read nothing in any of a few looks: a busy browser cuts some short."""
    unread = None
    for _ in range(5):
        now = {name for name, read in look().items() if not read}
        unread = now if unread is None else unread & now
        if unread <= but:
            break
    return unread


def test_a_page_of_another_origin_reads_nothing(street, visit):
    before = refusals(street, "browser")
    found = visit("site.test", DAEMON)
    assert len(found) == 19
    assert {name: read for name, read in found.items() if read} == {}
    # Two have to ask for leave first: each try has come here, and was refused for what it is.
    assert refusals(street, "browser") - before >= len(found)


def test_a_page_of_a_rebound_name_reads_nothing(street, visit):
    before = refusals(street, "host")
    found = visit("rebound.test", "", rebind="yes")
    of_the_daemon = {name: read for name, read in found.items() if name not in OF_THE_SITE}
    assert not any("SecretAccessKey" in read or "ASIA" in read for read in found.values())
    assert street.credentials()["AccessKeyId"] not in json.dumps(found)
    # It is of the page's own origin: what it reads is the refusal.
    assert {read for read in of_the_daemon.values() if "Refused" not in read} <= {""}
    assert refusals(street, "host") - before >= len(of_the_daemon)


def test_the_same_page_reads_what_a_server_lets_it_read(visit):
    assert unread_of(lambda: visit("site.test", OPEN), but=NEVER_READ) == NEVER_READ
    rebound = unread_of(lambda: visit("rebound-to-open.test", "", rebind="yes"), but=OF_THE_SITE)
    assert rebound <= OF_THE_SITE


def test_the_daemon_would_answer_who_is_no_page(street):
    assert "SecretAccessKey" in street.curl("/latest/meta-data/iam/security-credentials/imdsd-demo")
