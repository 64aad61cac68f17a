"""One profile in somebody's own file of AWS credentials: all else stays, whatever happens."""

from __future__ import annotations

import configparser
import fcntl
import os
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsd.errors import CredentialsFileError
from imdsd.host.aws_credentials_file import (
    ProfileKeys,
    remove_profile,
    usual_file,
    write_profile,
    written_profiles,
)
from imdsd.host.aws_credentials_file.place import change_file
from imdsd.host.aws_credentials_file.sections import (
    OWNED,
    standing_in_the_way,
    with_profile,
    without_profile,
)
from imdsd.secret import Secret
from tests.support import scrubbed_environ

UID = os.geteuid()
EXPIRES = datetime(2030, 1, 1, 1, tzinfo=UTC)
LINES = ("# expires 2030-01-01T01:00:00Z, written by imdsd login", "aws_access_key_id = NEW")
OURS = "[dev]\n{}\n{}\n".format(*LINES)


def keys(key_id="ASIANEW"):
    return ProfileKeys(key_id, Secret(f"secret-of-{key_id}"), Secret("token+/="), EXPIRES, "login")


def never(_seconds):
    raise AssertionError("nobody else holds the lock")


def inside(directory):
    return sorted(path.name for path in directory.iterdir())


def write(path, profile="dev", key_id="ASIANEW", **options):
    write_profile(path, profile, keys(key_id), uid=UID, pause=never, **options)


def edited(text, profile="dev", **options):
    data = text if isinstance(text, bytes) else text.encode()
    return with_profile(data, profile, LINES, **options).decode("utf-8", "surrogateescape")


# The bytes


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", OURS),
        ("[a]\nx = 1\n", f"[a]\nx = 1\n\n{OURS}"),
        ("[a]\nx = 1", f"[a]\nx = 1\n\n{OURS}"),
        ("[a]\nx = 1\n\n", f"[a]\nx = 1\n\n{OURS}"),
        ("[a]\r\nx = 1\r\n", "[a]\r\nx = 1\r\n\r\n" + OURS.replace("\n", "\r\n")),
        ("# only a comment", f"# only a comment\n\n{OURS}"),
    ],
)
def test_a_profile_that_is_not_there_is_put_at_the_end(before, after):
    assert edited(before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[dev]", OURS),
        ("[dev]\r\n", OURS.replace("\n", "\r\n")),
        ("[dev]\naws_access_key_id = OLD\naws_session_token: T\n", OURS),
        ("[dev]\nAWS_ACCESS_KEY_ID=OLD\nAws_Secret_Access_Key=S\n", OURS),
        ("[dev]\naws_session_token = T\n  that goes on\n\n[b]\n", f"{OURS}\n[b]\n"),
        ("[dev]\n# expires 2029-01-01T01:00:00Z, written by imdsd login\n", OURS),
        ("[ dev ]\n", OURS),
        ("\ufeff[dev]\nx = 1\n", f"\ufeff[dev]\nx = 1\n{LINES[0]}\n{LINES[1]}\n"),
    ],
)
def test_the_credentials_of_a_profile_are_replaced(before, after):
    assert edited(before) == after


def test_other_settings_and_comments_of_the_profile_are_kept():
    before = (
        "[dev] ; mine\nregion = eu-west-1\n; why\naws_access_key_id = OLD\n"
        "s3 =\n  max_concurrent_requests = 20\n\n# about b\n[b]\n"
    )
    assert edited(before) == (
        "[dev] ; mine\nregion = eu-west-1\n; why\n"
        f"s3 =\n  max_concurrent_requests = 20\n{LINES[0]}\n{LINES[1]}\n\n# about b\n[b]\n"
    )


def test_of_two_profiles_of_one_name_the_last_is_changed():
    twice = "[dev]\naws_access_key_id = A\n[dev]\naws_access_key_id = B\n[b]\n"
    assert edited(twice) == f"[dev]\naws_access_key_id = A\n{OURS}[b]\n"


def test_what_only_looks_like_the_profile_is_left_alone():
    before = "[a]\nx =\n  [dev]\n[devel]\n[DEV]\n#[dev]\n[profile dev]\n"
    assert edited(before) == f"{before}\n{OURS}"


def test_an_indented_header_after_the_profile_stays_one():
    after = edited("[dev]\n  x = 1\n  [b]\n  y = 2\n")
    assert profiles(after.encode())["b"] == {"y": "2"}


@pytest.mark.parametrize("blank", ["\u00a0", "\u3000", "\x1c", "\u2003"])
def test_what_is_a_blank_to_sdks_before_a_header_is_one(blank):
    after = edited(f"{blank}[dev]\n{blank}aws_access_key_id = OLD\n{blank}[b]\ny = 2\n")
    assert profiles(after.encode())["dev"]["aws_access_key_id"] == "NEW"
    assert profiles(after.encode())["b"] == {"y": "2"}


def test_bytes_that_are_no_text_are_kept():
    assert with_profile(b"[a]\nx = \xff\xfe\n[dev]\ny=\xff\n", "dev", LINES) == (
        b"[a]\nx = \xff\xfe\n[dev]\ny=\xff\n" + OURS.encode().removeprefix(b"[dev]\n")
    )


@pytest.mark.parametrize(
    ("section", "found"),
    [
        (
            "aws_access_key_id = AKIA\naws_secret_access_key = S",
            ("access keys that do not expire",),
        ),
        ("aws_access_key_id = ASIA\naws_session_token = T", ()),
        ("aws_access_key_id = ASIA\naws_security_token = T", ()),
        ("region = eu-west-1", ()),
        ("role_arn = R\nsource_profile = x", ("a role",)),
        ("credential_process = p", ("a credential_process",)),
        (f"{LINES[0]}\naws_access_key_id = A", ()),
        (f"{LINES[0]}\nsso_session = A\nsso_start_url = B", ("an SSO login",)),
    ],
)
def test_what_would_be_lost_or_would_win_stands_in_the_way(section, found):
    data = f"[other]\naws_access_key_id = AKIA\n[dev]\n{section}\n".encode()
    assert standing_in_the_way(data, "dev") == found
    assert standing_in_the_way(data, "new") == ()


def test_force_takes_other_sources_of_credentials_out():
    assert edited("[dev]\nrole_arn = R\nregion = r\n", force=True).startswith(
        "[dev]\nregion = r\n#"
    )


def test_taking_out_leaves_what_others_wrote():
    before = "# top\n[a]\nx = 1\n"
    data = with_profile(before.encode(), "dev", LINES)
    assert without_profile(data, "dev") == f"{before}\n".encode()
    kept = b"[dev]\nregion = r\n"
    assert without_profile(with_profile(kept, "dev", LINES), "dev") == kept


@pytest.mark.parametrize("text", ["", "[a]\n", "[dev]\naws_access_key_id = A\n"])
def test_taking_out_touches_nothing_that_is_not_ours(text):
    assert without_profile(text.encode(), "dev") == text.encode()


# Any file at all

NAMES = ("dev", "default", "prod", "dev ", "DEV")
OPTIONS = (*sorted(OWNED), "region", "s3", "output")
ENDINGS = st.sampled_from(["\n", "\r\n"])
INDENTS = st.sampled_from(["", " ", "  ", "\t"])
VALUES = st.text("aZ9/+= ;#[]é", max_size=8)
ANY_LINE = st.one_of(
    st.builds("[{}]{}".format, st.sampled_from(NAMES), st.sampled_from(["", " ", " # [x]"])),
    st.builds("{} {} {}".format, st.sampled_from(OPTIONS), st.sampled_from("=:"), VALUES),
    st.builds("# {}".format, VALUES),
    st.sampled_from(["", "; written by imdsd", "a line of nothing", "[", "[]"]),
    VALUES,
)
FILES = st.lists(st.builds("{}{}{}".format, INDENTS, ANY_LINE, ENDINGS), max_size=14).map("".join)
PROFILES = st.sampled_from(["dev", "default", "new"])


def profiles(data):
    """Return what botocore reads; it refuses what repeats, which this does not."""
    parser = configparser.RawConfigParser(default_section="\0", strict=False)
    parser.read_string(data.decode())
    return {name: dict(parser[name]) for name in parser.sections()}


@given(FILES, PROFILES)
def test_every_line_that_is_no_credential_of_the_profile_is_kept_in_its_place(text, profile):
    data = text.encode()
    rest = with_profile(data, profile, LINES).splitlines()
    for line in data.splitlines():
        content = line.strip().lower()
        may_go = (
            content.startswith((b"[", *(name.encode() for name in OWNED))) or line[:1].isspace()
        )
        while rest and rest[0] != line and not may_go:
            del rest[0]
        assert rest or may_go, line


@given(FILES, PROFILES)
def test_writing_again_changes_nothing(text, profile):
    once = with_profile(text.encode(), profile, LINES)
    assert with_profile(once, profile, LINES) == once


@given(FILES.filter(lambda text: "] #" not in text), PROFILES)
def test_what_is_read_afterwards_is_the_same_but_for_the_profile(text, profile):
    data = text.encode()
    try:
        before = profiles(data)
    except configparser.Error:
        return
    after = profiles(with_profile(data, profile, LINES))
    ours = after.pop(profile)
    theirs = before.pop(profile, {})
    assert ours["aws_access_key_id"] == "NEW"
    for option, value in theirs.items():
        assert option in OWNED or ours[option] == value
    for name, options in before.items():
        # A header with spaces inside is another profile to botocore, the same to other SDKs.
        assert name.strip() == profile or after[name] == options


@given(FILES, PROFILES)
def test_what_was_put_in_comes_out_again(text, profile):
    data = text.encode()
    written = with_profile(data, profile, LINES)
    gone = without_profile(written, profile)
    assert LINES[0].encode() not in gone or LINES[0].encode() in data
    assert without_profile(gone, profile) == gone


# The file


def test_botocore_reads_the_profile(tmp_path, monkeypatch):
    path = tmp_path / "credentials"
    path.write_text("[a]\naws_access_key_id = A\naws_secret_access_key = B\n")
    write(path, "imdsd-dev")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    found = botocore.session.Session(profile="imdsd-dev").get_credentials()
    assert (found.access_key, found.secret_key, found.token, found.method) == (
        "ASIANEW", "secret-of-ASIANEW", "token+/=", "shared-credentials-file",
    )  # fmt: skip
    assert botocore.session.Session(profile="a").get_credentials().access_key == "A"


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="boto 2 is of 2018")
def test_boto_of_2018_reads_it_too(tmp_path):
    write(tmp_path / ".aws/credentials", "imdsd-dev")
    script = """
from boto.provider import Provider
found = Provider("aws", profile_name="imdsd-dev")
print(found.access_key, found.security_token)
"""
    environ = scrubbed_environ(tmp_path)
    words = [sys.executable, "-W", "ignore", "-c", script]
    done = subprocess.run(
        words, env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "ASIANEW token+/=\n"


def test_a_new_file_and_its_directory_are_the_owners_alone(tmp_path):
    path = tmp_path / ".aws/credentials"
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert inside(path.parent) == ["credentials"]


def test_a_file_that_others_could_read_no_longer_is(tmp_path):
    path = tmp_path / "credentials"
    path.write_text("[a]\n")
    path.chmod(0o644)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_only_the_last_directory_is_made(tmp_path):
    with pytest.raises(CredentialsFileError, match="make the directory"):
        write(tmp_path / "none/.aws/credentials")
    assert list(tmp_path.iterdir()) == []


def test_a_link_of_ones_own_is_followed_and_stays_a_link(tmp_path):
    real = tmp_path / "dotfiles/aws"
    real.parent.mkdir()
    real.write_text("[a]\nx = 1\n")
    (tmp_path / "home").mkdir()
    (tmp_path / "home/.aws").symlink_to("../way")
    (tmp_path / "way").symlink_to(tmp_path / "dotfiles")
    path = tmp_path / "home/.aws/credentials"
    (tmp_path / "dotfiles/credentials").symlink_to("aws")
    write(path)
    assert (tmp_path / "dotfiles/credentials").is_symlink()
    assert real.read_text().startswith("[a]\nx = 1\n\n[dev]\n")


def test_a_link_to_nothing_yet_makes_the_file_it_leads_to(tmp_path):
    (tmp_path / "credentials").symlink_to("kept/credentials")
    write(tmp_path / "credentials")
    assert (tmp_path / "kept/credentials").read_text().startswith("[dev]\n")


@pytest.mark.parametrize("target", ["credentials", "/", "..", "."])
def test_a_link_that_leads_to_no_file_is_refused(tmp_path, target):
    (tmp_path / "credentials").symlink_to(target)
    with pytest.raises(CredentialsFileError):
        write(tmp_path / "credentials")


def test_what_we_wrote_is_told_from_everything_else(tmp_path):
    path = tmp_path / "credentials"
    assert written_profiles(path, uid=UID) == {}
    theirs = "[long]\naws_access_key_id = AKIA\n[other]\n# expires soon, written by somebody\n"
    path.write_text(f"{theirs}[dev]\nregion = x\n")
    write(path)
    write(path, profile="ops")
    expires = "2030-01-01T01:00:00Z"
    assert written_profiles(path, uid=UID) == {"dev": expires, "ops": expires}
    for profile in written_profiles(path, uid=UID):
        remove_profile(path, profile, uid=UID, pause=never)
    assert written_profiles(path, uid=UID) == {}
    assert path.read_text().startswith(f"{theirs}[dev]\nregion = x\n")


def test_looking_for_what_we_wrote_makes_no_folder(tmp_path):
    assert written_profiles(tmp_path / "absent/credentials", uid=UID) == {}
    assert inside(tmp_path) == []


def test_a_directory_in_the_files_place_is_no_file_to_look_into(tmp_path):
    with pytest.raises(CredentialsFileError):
        written_profiles(tmp_path, uid=UID)


as_root = pytest.mark.skipif(UID != 0, reason="only root gives files away")


@as_root
@pytest.mark.parametrize("what", ["link", "file", "directory"])
def test_what_belongs_to_somebody_else_is_refused(tmp_path, what):
    place = tmp_path / "place"
    place.mkdir()
    path = place / "credentials"
    if what == "link":
        (place / "own").write_text("[a]\n")
        path.symlink_to("own")
    else:
        path.write_text("[a]\n")
    os.chown(place if what == "directory" else path, 12345, -1, follow_symlinks=False)
    with pytest.raises(CredentialsFileError, match=r"uid 12345.*; .*name another file"):
        write(path)
    assert path.read_text() == "[a]\n"
    assert not list(place.glob(".*"))


def test_a_directory_that_everybody_may_write_is_refused_unless_it_is_sticky(tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    place.chmod(0o777)
    with pytest.raises(CredentialsFileError, match="mode 0777"):
        write(place / "credentials")
    place.chmod(0o1777)
    write(place / "credentials")


@pytest.mark.parametrize("kind", ["directory", "fifo", "huge"])
def test_what_is_no_small_regular_file_is_refused(tmp_path, kind):
    path = tmp_path / "credentials"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.write_bytes(b"\n" * (1024 * 1024 + 1))
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(CredentialsFileError):
        write(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("path", ["/", "/proc/self/x", "/dev/full"])
def test_an_odd_path_is_refused(path):
    with pytest.raises(CredentialsFileError):
        write(Path(path))


def test_long_lived_keys_are_refused_and_kept(tmp_path):
    path = tmp_path / "credentials"
    path.write_text("[dev]\naws_access_key_id = AKIA\naws_secret_access_key = S\n")
    with pytest.raises(CredentialsFileError, match=r"keys that do not expire.*another profile"):
        write(path)
    assert "AKIA" in path.read_text()
    write(path, force=True)
    assert "AKIA" not in path.read_text()


# Faults

WRITE = """
import os, resource, sys
from datetime import UTC, datetime
from pathlib import Path
from imdsd.errors import CredentialsFileError
from imdsd.host.aws_credentials_file import ProfileKeys, write_profile
from imdsd.secret import Secret
resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
keys = ProfileKeys("ASIANEW", Secret("s" * 40), Secret("t" * 900), datetime.now(UTC))
try:
    write_profile(Path(sys.argv[1]), "dev", keys, uid=os.geteuid(), pause=print)
except CredentialsFileError as error:
    sys.exit(str(error))
"""


def test_a_disk_that_takes_no_more_leaves_the_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "credentials"
    path.write_text("[a]\nx = 1\n")
    words = [sys.executable, "-c", WRITE, str(path)]
    # Without coverage, which would write beyond the limit too.
    environ = scrubbed_environ(tmp_path)
    done = subprocess.run(
        words, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == f"{path} cannot be written: File too large; raise the limit on the size of files\n"  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert path.read_text() == "[a]\nx = 1\n"
    assert inside(tmp_path) == ["credentials"]


def test_what_a_killed_writer_left_is_taken_away(tmp_path):
    path = tmp_path / "credentials"
    left = tmp_path / ".credentials.imdsd"
    left.write_text("half a secret")
    write(path)
    assert inside(tmp_path) == ["credentials"]


def test_what_another_program_writes_meanwhile_is_not_lost(tmp_path):
    path = tmp_path / "credentials"
    path.write_text("[a]\nx = 1\n")

    seen = []

    def change(data):
        seen.append(data)
        if len(seen) < 3:
            with path.open("ab") as file:
                file.write(b"[b%d]\n" % len(seen))
        return with_profile(data, "dev", LINES)

    change_file(path, change, uid=UID, pause=never)
    assert [each.count(b"[") for each in seen] == [1, 2, 3]
    assert path.read_text() == f"[a]\nx = 1\n[b1]\n[b2]\n\n{OURS}"


def test_a_file_that_never_rests_is_left_alone(tmp_path):
    path = tmp_path / "credentials"
    path.touch()

    def change(data):
        with path.open("ab") as file:
            file.write(b"#\n")
        return data + b"ours"

    with pytest.raises(CredentialsFileError, match="all the time"):
        change_file(path, change, uid=UID, pause=never)
    assert b"ours" not in path.read_bytes()
    assert inside(tmp_path) == ["credentials"]


def test_writers_side_by_side_lose_nothing(tmp_path):
    path = tmp_path / "credentials"
    failed = []

    def work(number):
        try:
            for turn in range(15):
                profile, key = f"p{number}", f"ASIA{number}{turn}"
                write_profile(path, profile, keys(key), uid=UID, pause=threading.Event().wait)
        except CredentialsFileError as error:
            failed.append(error)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert failed == []
    found = profiles(path.read_bytes())
    assert {name: each["aws_access_key_id"] for name, each in found.items()} == {
        f"p{number}": f"ASIA{number}14" for number in range(6)
    }
    assert inside(tmp_path) == ["credentials"]


def test_a_lock_that_is_never_given_back_is_passed_over(tmp_path):
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    waited = []
    write_profile(tmp_path / "credentials", "dev", keys(), uid=UID, pause=waited.append)
    os.close(held)
    assert 1 <= sum(waited) <= 10
    assert "ASIANEW" in (tmp_path / "credentials").read_text()


def test_taking_out_makes_no_directory(tmp_path):
    remove_profile(tmp_path / ".aws/credentials", "dev", uid=UID, pause=never)
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "credentials")
    remove_profile(tmp_path / "credentials", "dev", uid=UID, pause=never)
    assert (tmp_path / "credentials").read_bytes() == b""


CLOSED = """
import os, sys
from pathlib import Path
from imdsd.errors import CredentialsFileError
from imdsd.host.aws_credentials_file import remove_profile
if os.geteuid() == 0:
    os.setuid(65534)
try:
    remove_profile(Path(sys.argv[1]), "dev", uid=os.geteuid(), pause=None)
except CredentialsFileError as error:
    print(error.reason)
"""


def test_taking_out_of_a_directory_that_is_closed_says_so(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    command = (sys.executable, "-c", CLOSED, str(closed / "credentials"))
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    closed.chmod(0o700)
    assert done.stdout.endswith("credentials cannot be written: Permission denied\n")


def test_what_is_written_says_when_it_ends_and_prints_no_secret():
    lines = keys().lines()
    assert lines[0] == "# expires 2030-01-01T01:00:00Z, written by imdsd login"
    assert "x_security_token_expires = 2030-01-01T01:00:00Z" in lines
    assert "secret-of" not in repr(keys())


@pytest.mark.parametrize(
    ("named", "path"),
    [
        (None, "/home/me/.aws/credentials"),
        ("", "/home/me/.aws/credentials"),
        ("/x/y", "/x/y"),
        ("~/z", "/home/me/z"),
    ],
)
def test_the_file_is_the_one_that_sdks_read(named, path):
    environ = {} if named is None else {"AWS_SHARED_CREDENTIALS_FILE": named}
    assert usual_file(environ, home=Path("/home/me")) == Path(path)
