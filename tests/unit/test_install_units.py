"""Units: rendered for an interpreter, in every distribution, and to systemd's own satisfaction."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from imdsd.install.units import (
    PLACEHOLDER,
    SYSTEM_UNITS,
    SYSUSERS,
    USER_UNITS,
    UnitError,
    read_unit,
    render_unit,
)
from tests.support import need

ROOT = Path(__file__).parents[2]
UNITS = (*SYSTEM_UNITS, *USER_UNITS)
STARTING = tuple(name for name in UNITS if PLACEHOLDER in read_unit(name))

MOST_EXPOSURE = 15
"""In tenths, as systemd-analyze counts them."""


@pytest.fixture
def interpreter(tmp_path):
    """An interpreter whose path none of the units knows."""
    path = tmp_path / "bin/python3.99"
    path.parent.mkdir()
    path.symlink_to(sys.executable)
    return path


@pytest.fixture
def rendered(tmp_path, interpreter):
    """A folder with all units of the system, and one below it with those of a user."""
    folder = tmp_path / "units"
    for name in UNITS:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render_unit(name, interpreter=interpreter))
    return folder


def analyze(*words, **variables):
    done = subprocess.run(
        [need("systemd-analyze"), *map(str, words)],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def directives(name):
    """The settings of a unit, in their order, without comments."""
    lines = [line for line in read_unit(name).splitlines() if line and line[0] not in "#["]
    return [tuple(line.split("=", 1)) for line in lines]


def test_every_unit_is_listed():
    kept = {str(path.relative_to(ROOT / "systemd")) for path in (ROOT / "systemd").rglob("*.*")}
    assert {name for name in kept if not name.endswith(".d")} == {*UNITS, SYSUSERS}


@pytest.mark.parametrize("name", STARTING)
def test_a_unit_starts_the_daemon_by_the_interpreter_it_is_rendered_for(name, interpreter):
    text = render_unit(name, interpreter=interpreter)
    assert f"\nExecStart={interpreter} -P -m imdsd serve\n" in text
    assert f"\nExecReload={interpreter} -P -m imdsd check-config\n" in text
    assert PLACEHOLDER not in text


def test_a_program_whose_name_only_begins_alike_is_left_alone(tmp_path):
    (tmp_path / "systemd").mkdir()
    text = f"ExecStart={PLACEHOLDER}\nExecStop={PLACEHOLDER}.11 /x{PLACEHOLDER}\n"
    (tmp_path / "systemd/a.service").write_text(text)
    shown = render_unit("a.service", interpreter=Path("/opt/p"), package=tmp_path)
    assert shown == f"ExecStart=/opt/p\nExecStop={PLACEHOLDER}.11 /x{PLACEHOLDER}\n"


@pytest.mark.parametrize("odd", ["python3", "/a b/python", "/a%b/python", "/a\nb", '/a"b', "/ä"])
def test_an_interpreter_that_would_have_to_be_quoted_is_refused(odd):
    with pytest.raises(UnitError, match="expected an absolute path"):
        render_unit("imdsd.service", interpreter=Path(odd))


def test_an_installation_without_units_says_where_it_looked(tmp_path):
    with pytest.raises(UnitError, match=rf"no imdsd\.service \(looked in {tmp_path}"):
        read_unit("imdsd.service", package=tmp_path / "imdsd")


@pytest.mark.parametrize("name", SYSTEM_UNITS)
def test_systemd_has_nothing_to_say_against_a_unit(name, rendered):
    need("ip")  # which it looks for
    instance = rendered / name.replace("@", "@root")
    if "@" in name:
        shutil.copy(rendered / name, instance)
    assert analyze("verify", "--man=no", instance) == (0, "")


@pytest.mark.parametrize("name", USER_UNITS)
def test_systemd_has_nothing_to_say_against_a_unit_of_a_user(name, rendered, tmp_path):
    variables = {"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)}
    assert analyze("verify", "--man=no", "--user", rendered / name, **variables) == (0, "")


def test_systemd_does_have_something_to_say_against_an_unknown_key(rendered):
    unit = rendered / "imdsd.service"
    unit.write_text(unit.read_text().replace("NoNewPrivileges", "NoNewPrivilege"))
    status, output = analyze("verify", "--man=no", unit)
    assert status == 0
    assert "Unknown key" in output


def exposure(name, rendered):
    words = ("security", "--offline=true", f"--threshold={MOST_EXPOSURE}", "--no-pager")
    status, output = analyze(*words, rendered / name)
    return status, float(re.search(r"exposure level for \S+: ([\d.]+)", output).group(1))


@pytest.mark.parametrize("name", ["imdsd.service", "imdsd-address.service"])
def test_a_unit_exposes_little(name, rendered):
    status, level = exposure(name, rendered)
    assert (status, level <= MOST_EXPOSURE / 10) == (0, True)


def test_the_exposure_is_the_one_that_the_documents_name(rendered):
    document = (ROOT / "docs/security.md").read_text()
    version = analyze("--version")[1].split()[1]
    if f"of systemd {version} counts" not in document:
        return  # Another version weighs otherwise; the limit above holds all the same.
    for name in ("imdsd.service", "imdsd-address.service", "imdsd@.service"):
        _, level = exposure(name, rendered)
        assert f"| `{name}` | {level} |" in document


def test_the_daemon_has_no_capability_and_no_user_namespace():
    for name in ("imdsd.service", "imdsd@.service"):
        found = directives(name)
        assert ("CapabilityBoundingSet", "") in found
        assert ("AmbientCapabilities", "") in found
        assert "PrivateUsers" not in dict(found)


def test_a_user_s_daemon_is_not_told_what_the_machine_s_may_know():
    files = {
        name: re.findall(r"^EnvironmentFile=-(\S+)$", read_unit(name), re.MULTILINE)
        for name in ("imdsd.service", "imdsd@.service")
    }
    assert files == {
        "imdsd.service": ["/etc/imdsd/environment"],
        "imdsd@.service": ["/etc/imdsd/%i.environment"],
    }


def test_nothing_stands_behind_a_value_that_systemd_would_take_for_a_part_of_it():
    # A comment behind BindToDevice=lo has systemd 252 drop the line with no more than a warning.
    for name in UNITS:
        assert [value for _, value in directives(name) if "#" in value] == [], name
    assert ("BindToDevice", "lo") in directives("imdsd-link-local.socket")


def test_a_wheel_has_every_unit(tmp_path):
    words = ("-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(tmp_path / "unpacked")
    package = tmp_path / "unpacked/imdsd"
    for name in (*UNITS, SYSUSERS):
        assert (package / "systemd" / name).read_text() == read_unit(name)
        assert read_unit(name, package=package) == read_unit(name)
