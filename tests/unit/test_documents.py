"""The documents for users: what they say of the code is held against the code."""

import ast
import functools
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from imdsd.cli import EXIT_CODES, VERBS, parser_for
from imdsd.config import load
from imdsd.config.model import UNRELOADABLE
from imdsd.config.options import AWS_VARIABLES, OPTIONS
from imdsd.credentials import schedule
from imdsd.credentials.model import RoleState
from imdsd.doctor.catalogue import diagnoses
from imdsd.doctor.finding import Step
from imdsd.doctor.rendering import WARNINGS_STATUS
from imdsd.endpoints import container, events, guards, imds, ops
from imdsd.errors import ExchangeError, MintError
from imdsd.host.daemon_record import BEARER_NAME, LOCK_NAME, RECORD_NAME
from imdsd.host.sdk_environment import SdkTarget, sdk_variables
from imdsd.host.shells import STYLES
from imdsd.metadata import event_forms
from imdsd.metadata.machine import Machine, MachineInterface
from imdsd.metadata.settings import MetadataSettings
from imdsd.metadata.values import RoleFacts, leaves_of
from imdsd.secret import Secret
from imdsd.telemetry.metrics import Metrics
from imdsd.trust import judge, parse_trust_policy, web_identity_request
from tests.documents.blocks import DOCS, DOCUMENTS, ROOT, blocks, name_of
from tests.documents.prose import codes_in, prose_of, rows, section, text_of
from tests.fakes.refresh import Bench
from tests.fakes.served import serving

ARN = "arn:aws:iam::123456789012:role/dev"

# Hosts and top directories that a document may name: none is a developer's own.
HOSTS = {
    "127.0.0.1", "172.17.0.1", "169.254.169.254", "app.gitpod.io", "example.com",
    "keepachangelog.com", "semver.org", "aws.amazon.com", "docs.aws.amazon.com",
    "sts.eu-central-1.amazonaws.com",
}  # fmt: skip
DIRECTORIES = {"dev", "etc", "opt", "proc", "run", "tmp", "usr", "var", "bin", "nope"}
URL_PATHS = {
    "latest", "v1", "refresh", "events", "healthz", "readyz", "status", "metrics", "value", "token",
}  # fmt: skip


# Links, names and snippets of all documents


def slug(heading: str) -> str:
    kept = re.sub(r"[^\w\- ]", "", heading.lower())
    return kept.strip().replace(" ", "-")


def anchors(path: Path) -> set[str]:
    return {slug(heading) for heading in re.findall(r"(?m)^#+ (.*)$", prose_of(path.read_text()))}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_relative_link_leads_somewhere(document):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(document.read_text())):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = document.parent / name if name else document
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path), target


def test_every_document_is_in_the_index():
    for index in DOCS.rglob("README.md"):
        beside = {path.name for path in index.parent.glob("*.md")} - {index.name}
        assert {name for name in beside if f"({name}" not in index.read_text()} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_a_document_names_no_machine_but_examples(document):
    text = document.read_text()
    hosts = {host.partition(":")[0] for host in re.findall(r"https?://([\w.:-]+)", text)}
    assert hosts <= HOSTS
    first = set(re.findall(r"(?<![\w.:/~}$)>*\]…-])/([a-z]\w*)", text))
    assert first <= DIRECTORIES | URL_PATHS


@pytest.mark.parametrize("snippet", blocks("json"), ids=str)
def test_json_snippets_parse(snippet):
    assert isinstance(json.loads(snippet.text), dict)


@pytest.mark.parametrize("snippet", blocks("yaml"), ids=str)
def test_yaml_snippets_parse(snippet):
    assert all(isinstance(each, dict) for each in yaml.safe_load_all(snippet.text))


@pytest.mark.parametrize("snippet", blocks("sh"), ids=str)
def test_shell_snippets_parse(snippet):
    checked = subprocess.run(
        ["sh", "-n"], input=snippet.text, text=True, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("snippet", blocks("toml"), ids=str)
def test_toml_snippets_are_sound_configurations(snippet, tmp_path):
    bundle = tmp_path / "bundle.pem"
    bundle.touch()
    path = tmp_path / "config.toml"
    path.write_text(re.sub(r'(?m)^(ca_bundle = )".*"$', rf'\1"{bundle}"', snippet.text))
    flags = {"config": str(path)}
    if "role" not in tomllib.loads(snippet.text):
        flags["role_arn"] = ARN
    environ = {"AWS_REGION": "eu-central-1"}
    assert load(flags=flags, environ=environ).warnings == ()


def test_the_readme_has_snippets_to_check():
    assert [each for each in blocks("sh") if each.document == "README.md"]


@pytest.mark.parametrize("snippet", [s for s in blocks("json") if '"Statement"' in s.text], ids=str)  # fmt: skip
def test_a_trust_policy_lets_in_its_own_project_alone(snippet):
    policy = parse_trust_policy(snippet.text)
    subject = "organization_id:ORGANIZATION:project_id:PROJECT"

    def allows(**changed: object) -> bool:
        claims = {"aud": ["sts.amazonaws.com"], "sub": subject, **changed}
        asked = web_identity_request("https://app.gitpod.io", claims, account="123456789012")
        return judge(policy, asked).allowed

    assert allows()
    assert not allows(sub=subject + "2")
    assert not allows(sub=subject.replace("ORGANIZATION", "OTHER"))
    assert not allows(aud="somebody.else")


def commands() -> list[str]:
    """Return every use of a verb that a person or a shell might copy."""
    codes = [re.sub(r"\\\n +", "", each.text) for each in blocks("sh", "yaml", "json", "ini")]
    codes += [code for path in DOCUMENTS for code in codes_in(path.read_text())]
    verbs = "|".join(sorted(VERBS, key=len, reverse=True))
    use = re.compile(rf"\bimdsd (?:{verbs})(?![\w-])[^\n]*")
    return sorted({words_before_the_shell(found) for code in codes for found in use.findall(code)})


def words_before_the_shell(text: str) -> str:
    """Cut a line where its command ends: at an operator, a gap, or a quote that began before it."""
    text = re.sub(r"\s\d>", " >", re.split(r"\s{2,}|\s#|\)\"", text)[0])
    while True:
        try:
            words = shlex.shlex(text, posix=True, punctuation_chars=True)
            words.whitespace_split = True
            return shlex.join(itertools.takewhile(lambda word: word[0] not in "();<>|&", words))
        except ValueError:
            text = text.rpartition('"')[0] or text.rpartition("'")[0]


@pytest.mark.parametrize("command", commands())
def test_commands_in_documents_are_understood(command):
    _, verb, *words = shlex.split(command)
    parser_for(verb).parse_args(words)


# docs/cli.md


def shown_help(verb: str) -> str:
    block = re.search(rf"(?ms)^## `imdsd {verb}`\n\n```text\n(.*?)^```$", text_of("cli.md"))
    assert block, f"no help of {verb}"
    return block[1]


def real_help(*words: str) -> str:
    environ = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "imdsd", *words, "--help"]
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_is_as_shown(verb):
    # Word by word: where argparse breaks lines is the affair of a Python version.
    assert shown_help(verb).split() == real_help(verb).split()


def test_the_help_of_all_is_as_shown():
    block = re.search(r"(?ms)^```text\n(usage: imdsd VERB.*?)^```$", text_of("cli.md"))
    assert block
    assert block[1] == real_help()


def test_every_verb_has_its_section_in_the_order_of_the_help():
    assert re.findall(r"(?m)^## `imdsd ([\w-]+)`$", text_of("cli.md")) == list(VERBS)


def test_exit_codes_are_those_of_the_code():
    listed = rows(section(text_of("cli.md"), "## Exit codes"))[1:]
    codes = {int(code) for row in listed for code in row[0].split(", ")}
    of_doctor = WARNINGS_STATUS
    assert codes == {0, *(code for _, code in EXIT_CODES), of_doctor, 126, 127, 130, 141}


def test_the_variables_of_env_are_those_of_the_code():
    def variables(*, on_imds: bool) -> set[str]:
        target = SdkTarget(
            "http://127.0.0.1:9254", Secret("b"), Path("/b"), None, on_imds=on_imds,
            region="us-east-1", sts_endpoint_url="http://127.0.0.1:1",
        )  # fmt: skip
        return set(sdk_variables(target, environ={"HTTPS_PROXY": "http://proxy"}))

    table = section(text_of("cli.md"), "## `imdsd env`")
    listed = {name for row in rows(table)[1:] for name in codes_in(row[0])}
    assert listed == variables(on_imds=True) | variables(on_imds=False)


def test_every_format_of_env_is_explained():
    explained = codes_in(section(text_of("cli.md"), "## `imdsd env`"))
    assert {*STYLES, "github"} <= explained


def test_every_file_of_the_runtime_directory_is_listed():
    listed = {row[0] for row in rows(section(text_of("cli.md"), "## The run-time directory"))[1:]}
    assert listed == {f"`{n}`" for n in (BEARER_NAME, RECORD_NAME, LOCK_NAME, "last-mint")}


# Flags and variables


def test_every_flag_and_variable_is_in_the_reference():
    listed = rows(section(text_of("configuration.md"), "## Flags and variables"))[1:]
    flags = {code.split()[0] for row in listed for code in codes_in(row[0])}
    variables = {next(iter(re.findall(r"IMDSD_\w+", row[1]))) for row in listed}
    assert flags == {option.flag for option in OPTIONS}
    assert variables == {option.variable for option in OPTIONS}


def names_of_variables() -> set[str]:
    """Return every text of the code that is spelt as a variable is, and names no thing of Python's."""
    exported: set[str] = set()
    found: set[str] = set()
    for tree in syntax_trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                exported |= set(ast.literal_eval(node.value))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    spelt = {text for text in found if re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+", text)}
    # What stands for an account in a policy is no variable, nor are families of sockets.
    return {text for text in spelt - exported - {"ANY_ACCOUNT"} if not text.startswith("AF_")}


def test_every_variable_that_the_code_knows_is_in_the_reference():
    assert {name for name, *_ in AWS_VARIABLES} <= names_of_variables()
    missing = names_of_variables() - codes_in(text_of("cli.md"))
    # The flags' own stand with the configuration.
    assert missing - {option.variable for option in OPTIONS} == set()


def test_every_variable_of_the_reference_is_one_that_the_code_knows():
    listed = rows(section(text_of("cli.md"), "## Variables"))[1:]
    told = {code for row in listed for code in codes_in(row[0]) if "_" in code}
    assert told - names_of_variables() == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_variable_of_ours_in_a_document_exists(document):
    # The last two: what Kubernetes sets for a Service of that name, and is ignored.
    known = {option.variable for option in OPTIONS} | {
        "IMDSD_RUNTIME_DIR", "IMDSD_PORT", "IMDSD_SERVICE_HOST",
    }  # fmt: skip
    assert set(re.findall(r"\bIMDSD_[A-Z]\w*", document.read_text())) <= known


# docs/endpoints.md


def counted() -> dict[str, tuple[str, set[str]]]:
    """Return the type and the labels of every metric, each counted once."""
    metrics = Metrics("1")
    metrics.watch_roles(lambda: [("dev", "ok", 1.0, 1.0)])
    metrics.attempt_ended("dev", 1)
    metrics.refresh_failed("dev", "mint", "MintFailed")
    metrics.wrong_role("dev")
    metrics.answered("imds", 200)
    metrics.refused("host")
    metrics.watch_connections(lambda: 1)
    metrics.connection_closed("idle")
    metrics.imdsv1_used("app")
    metrics.upstream_is("http://169.254.169.254", up=True)
    metrics.upstream_asked("ok")
    metrics.reloaded(taken=True)
    metrics.file_is("dev", current=True)
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        family.name + ("_total" if family.type == "counter" else ""): (
            family.type,
            {label for sample in family.samples for label in sample.labels if label != "le"},
        )
        for family in families
    }


def test_metrics_their_types_and_their_labels_are_those_of_the_code():
    table = rows(section(text_of("endpoints.md"), "### Metrics"))[1:]
    assert {row[0].strip("`"): (row[1], codes_in(row[2])) for row in table} == counted()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_metric_in_a_document_exists(document):
    named = re.findall(r"\bimdsd_[a-z]\w+", document.read_text())
    assert set(named) <= set(counted())


async def test_the_keys_of_the_status_are_those_of_the_code():
    bench = Bench()
    bench.source.next.append(MintError("no"))
    async with serving(bench.definition(), bench=bench) as served:
        await served.roles.default.refresh()
        status = (await served.ask("GET", "/status")).json
    table = rows(section(text_of("endpoints.md"), "### Status"))
    split = next(index for index, row in enumerate(table[1:], 1) if row == ["key", "value"])
    daemon = {key for row in table[1:split] for key in codes_in(row[0])}
    role = {key for row in table[split + 1 :] for key in codes_in(row[0])}
    assert daemon == set(status)
    assert role == set(status["roles"][0])
    error = next(row[1] for row in table if row[0] == "`last_error`")
    assert codes_in(error) - {"null"} == set(status["roles"][0]["last_error"])


async def test_every_path_in_the_table_of_pages_answers_as_it_says():
    bench = Bench()
    table = rows(section(text_of("endpoints.md"), "### Pages"))[1:]
    pages = {row[0].strip("`"): row[2] for row in table if row[0].startswith("`")}
    async with serving(bench.definition(), bench=bench) as served:
        role = (await served.imds("/latest/meta-data/iam/security-credentials/")).body.decode()
        bench.exchange.always = ExchangeError("no", code="Unreachable")
        before = {path: (await served.imds(path.replace("NAME", role))).status for path in pages}
        bench.exchange.always = None
        await served.roles.default.refresh()
        after = {path: (await served.imds(path.replace("NAME", role))).status for path in pages}
    assert set(after.values()) == {200}
    assert before == {path: 503 if says[:3] == "503" else 200 for path, says in pages.items()}


def values_in_the_table() -> dict[str, str]:
    """Return the paths of the table of values, and what is served there by default."""
    table = rows(section(text_of("metadata.md"), "## The values"))[1:]
    return {row[0].strip("`"): row[2] for row in table}


def as_in_the_table(leaf: str) -> str:
    """Return the row that a leaf belongs to."""
    leaf = leaf.replace("security-credentials/dev", "security-credentials/NAME")
    return re.sub(r"(?<=/macs/).*", "MAC/", leaf)


def test_every_value_that_is_served_by_default_is_in_the_table_of_values():
    facts = RoleFacts(ARN, "us-east-1", datetime(2026, 1, 1, tzinfo=UTC), "env")
    interface = MachineInterface("02:00:00:00:00:01", ("192.0.2.1",), ("2001:db8::1",))
    machine = Machine("box", "x86_64", interface)
    served = {*leaves_of(facts, machine, MetadataSettings()), *event_forms.ALWAYS}
    named = {path for path, says in values_in_the_table().items() if not says.startswith("absent")}
    # The listing of roles, and user data that is listed though it is not there.
    assert {as_in_the_table(leaf) for leaf in served} == named - {
        "meta-data/iam/security-credentials/",
        "user-data",
    }
    inside = codes_in(values_in_the_table()["meta-data/network/interfaces/macs/MAC/"])
    assert inside == {leaf.rpartition("/")[2] for leaf in served if "/macs/" in leaf}


def test_every_path_that_is_served_is_in_the_endpoints():
    text = text_of("endpoints.md")
    pages = ("/healthz", "/readyz", "/status", "/metrics")
    assert all(ops.OpsEndpoint.serves(page) for page in pages)
    for path in (container.PATH, imds.TOKEN_PATH, *pages, ops.REFRESH_PATH, events.PATH):
        assert re.search(rf"[` ]{path}`", text), path


def test_every_guard_is_in_the_table_of_guards():
    listed = {name for row in rows(section(text_of("endpoints.md"), "## Guards"))[1:]
              for name in codes_in(row[0])}  # fmt: skip
    source = Path(guards.__file__).read_text()
    assert listed == {*re.findall(r'Refusal\("(\w+)"', source), "peer"}


# docs/refresh.md


def test_the_table_of_sessions_is_the_schedules_own():
    table = rows(section(text_of("refresh.md"), "## When"))[1:]
    assert len(table) == 5
    for session, threshold, interval, outage in table:
        seconds = int(re.findall(r"\d+", session)[0])
        left = schedule.refresh_threshold(seconds)
        assert threshold == f"{left:g} s"
        assert interval == f"{schedule.refresh_interval(seconds, draw=0):g} s"
        unnoticed = left - schedule.SERVE_MARGIN_SECONDS
        number, unit = outage.split()
        assert int(number) * {"min": 60, "h": 3600}[unit] <= unnoticed


def test_every_state_is_explained():
    table = rows(section(text_of("refresh.md"), "## States"))[1:]
    assert [row[0].strip("`") for row in table] == [str(state) for state in RoleState]


def test_what_needs_a_restart_is_said_alike_everywhere():
    for name in ("refresh.md", "configuration.md"):
        sentences = text_of(name).replace("\n", " ")
        said = re.search(r"(?:Changes of|a file that changes) ([^:.]*?)(?: need a restart|:)", sentences)  # fmt: skip
        assert said, name
        assert codes_in(said[1]) == set(UNRELOADABLE)


def syntax_trees() -> list[ast.Module]:
    return [ast.parse(path.read_text()) for path in sorted((ROOT / "imdsd").rglob("*.py"))]


def test_every_code_of_a_failure_is_in_the_table_of_codes_or_stss_own():
    text = section(text_of("refresh.md"), "## Codes")
    source = "\n".join(path.read_text() for path in (ROOT / "imdsd").rglob("*.py"))
    given = set(re.findall(r'\bcode(?: = |=)"([A-Z][a-z]\w+)"', source))
    # Never seen: each raise beside these two gives a code of its own.
    assert given - codes_in(text) - {"ExchangeFailed", "PublishRefused"} == {"ValidationError"}


# Messages


@functools.cache
def templates() -> list[str]:
    """Return every text in the code, what is filled in at run time as an ellipsis."""
    found = []
    for tree in syntax_trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = (
                    part.value if isinstance(part, ast.Constant) else "…" for part in node.values
                )
                found.append("".join(map(str, parts)))
    return found


def messages() -> list[str]:
    """Return the messages that the documents quote in the first column of a table of remedies.

    Those of STS itself, which begin with its code, are not ours.
    """
    tables = [text_of("how-to/troubleshooting.md")]
    tables += re.findall(r"(?s)\| message \| do \|(.*?)\n\n", text_of("token-sources.md") + "\n\n")
    cells = [row[0] for table in tables for row in rows(table)]
    quoted = {code for cell in cells for code in codes_in(cell) if " " in code}
    return sorted(each for each in quoted if not each.startswith("AccessDenied:"))


@pytest.mark.parametrize("message", messages())
def test_a_quoted_message_is_one_of_the_code(message):
    known = templates()
    # What stands between two of these comes from one text; short stretches prove nothing.
    joints = r"…|[;:,()'\"]|\b(?:found|expected|gave|token is)\b"
    stretches = [part.strip() for part in re.split(joints, message)]
    for words in (part for part in stretches if part.count(" ") > 1):
        assert any(words in text for text in known), words


# docs/doctor.md


def remedy_in_a_document(remedy: str) -> str:
    """Write a remedy as the document does: what is filled in stands in capitals."""
    if remedy == "{remedy}":
        return "what the error itself says"
    if remedy.startswith("{remedy}"):
        remedy = remedy.replace("{remedy}", "what the finding names", 1)
    filled = re.sub(r"(?<!\{)\{([a-z_]+)\}", lambda each: each[1].upper(), remedy)
    return filled.replace("{{", "{").replace("}}", "}")


def test_every_finding_of_the_doctor_is_listed_with_its_level_and_remedy():
    listed = [row for row in rows(text_of("doctor.md")) if row[0] != "finding"]
    told = [
        [f"`{each.code}`", str(each.level), each.means, remedy_in_a_document(each.remedy)]
        for each in diagnoses()
    ]
    assert listed == told


def test_every_step_of_the_doctor_has_its_section():
    titles = re.findall(r"(?m)^## (.*)$", text_of("doctor.md"))
    assert len(titles) == len(Step) + 1
