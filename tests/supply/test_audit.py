"""The audit: weak, clean, or not audited, told apart by what an advisory service says."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from supply import audit

PINS = [f"{name}==1.0 \\\n    --hash=sha256:{'1' * 64}\n" for name in ("fine", "frail")]
NAMES = frozenset({"fine", "frail"})


class Service(ThreadingHTTPServer):
    """An advisory service as OSV's, which names a weakness in each of these packages."""

    daemon_threads = True

    def __init__(self, *weak):
        super().__init__(("127.0.0.1", 0), _Answer)
        self.weak = weak
        self.asked = []

    @property
    def options(self):
        url = f"http://127.0.0.1:{self.server_port}/v1/query"
        return ("--vulnerability-service", "osv", "--osv-url", url)


class _Answer(BaseHTTPRequestHandler):
    def do_POST(self):
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = query["package"]["name"]
        self.server.asked.append((name, query["version"]))
        package = {"name": name, "ecosystem": "PyPI"}
        advisory = {"id": f"TEST-{name}", "summary": "weak", "affected": [{"package": package}]}
        body = json.dumps({"vulns": [advisory]} if name in self.server.weak else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


@pytest.fixture
def served(tmp_path):
    """A function that asks a service which names a weakness in each of these packages."""

    def ask(*weak, pins=PINS):
        with Service(*weak) as service:
            serving = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.05})
            serving.start()
            try:
                found = audit.ask(pins, (*service.options, "--cache-dir", str(tmp_path)))
            finally:
                service.shutdown()
                serving.join()
        return found, service.asked

    return ask


def test_packages_that_a_service_knows_nothing_against_are_clean(served):
    findings, asked = served(audit.CONTROL)
    assert findings.code == audit.CLEAN
    assert set(asked) == {("fine", "1.0"), ("frail", "1.0"), (audit.CONTROL, audit.CONTROL_VERSION)}
    assert audit.told(findings) == ["audited: 2 packages, 0 weak"]


def test_a_weakness_is_named_and_fails(served):
    findings, _ = served(audit.CONTROL, "frail")
    assert findings.code == audit.WEAK
    assert audit.told(findings) == ["frail: TEST-frail", "audited: 2 packages, 1 weak"]


def test_a_service_that_knows_no_weakness_of_anything_is_not_believed(served):
    findings, _ = served()
    assert findings.code == audit.NOT_AUDITED
    assert audit.told(findings)[-1].startswith("NOT AUDITED: 2 packages; the service knows no weak")


def test_a_service_that_cannot_be_reached_leaves_all_not_audited(tmp_path):
    with Service() as service:
        options = service.options
    findings = audit.ask(PINS, (*options, "--cache-dir", str(tmp_path)))
    assert findings.code == audit.NOT_AUDITED
    assert audit.told(findings)[-1].startswith("NOT AUDITED: 2 packages; ")
    assert "refused" in findings.trouble


def test_packages_for_other_pythons_are_asked_about_too(served):
    other = PINS[0].replace(" \\", " ; python_full_version < '3' \\", 1)
    _, asked = served(audit.CONTROL, pins=[other])
    assert ("fine", "1.0") in asked


def dependency(name, *ids):
    return {"name": name, "version": "1", "vulns": [{"id": each} for each in ids]}


def test_a_package_that_the_service_does_not_know_is_not_clean():
    skipped = {"name": "frail", "skip_reason": "Dependency not found on PyPI"}
    answer = {"dependencies": [dependency("fine"), skipped, dependency(audit.CONTROL, "A")]}
    findings = audit.read(answer, NAMES)
    assert findings.code == audit.NOT_AUDITED
    assert audit.told(findings) == [
        "audited: 1 packages, 0 weak",
        "NOT AUDITED: 1 packages; the service does not know frail",
    ]


def test_a_weakness_counts_where_another_package_is_unknown():
    answer = {"dependencies": [dependency("fine", "B"), dependency(audit.CONTROL, "A")]}
    assert audit.read(answer, NAMES).code == audit.WEAK
