import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from imdsd.errors import MintError
from imdsd.tokens.file import FileSource
from tests.fakes.clock import ManualClock, settle
from tests.fakes.web_identity import make_token

TOKEN = make_token()
OTHER = make_token(sub="another")


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    return file


async def refusal(path):
    with pytest.raises(MintError) as caught:
        await FileSource(path).mint()
    assert caught.value.remedy
    return caught.value.reason


async def test_the_token_in_the_file_is_handed_on(path):
    source = FileSource(path)
    assert (await source.mint()).reveal() == TOKEN
    assert source.renewable
    assert source.description == f"file {path}"


async def test_the_file_is_read_anew_for_each_token(path):
    source = FileSource(path)
    await source.mint()
    path.write_text(f"{OTHER}\n")
    assert (await source.mint()).reveal() == OTHER


async def test_a_projected_files_symlinks_are_followed(tmp_path, path):
    (tmp_path / "..data").symlink_to(tmp_path)
    (tmp_path / "projected").symlink_to("..data/token")
    assert (await FileSource(tmp_path / "projected").mint()).reveal() == TOKEN


async def test_a_file_met_while_it_is_written_is_read_again(path):
    clock = ManualClock()
    path.write_text(TOKEN[:20])
    minting = asyncio.create_task(FileSource(path, clock=clock).mint())
    await settle()
    assert not minting.done()
    path.write_text(OTHER)
    await clock.advance(0.1)
    assert (await minting).reveal() == OTHER


async def test_a_file_that_stays_garbage_is_refused_after_three_tries(path):
    path.write_text("not a token")
    reason = await refusal(path)
    assert reason.startswith(f"file {path} gave 'not a token', expected a web identity token")


async def test_a_missing_file_is_named(tmp_path):
    reason = await refusal(tmp_path / "nowhere")
    assert reason == f"file {tmp_path}/nowhere cannot be opened: No such file or directory"


async def test_a_directory_is_refused(tmp_path):
    assert "is a directory, expected a regular file" in await refusal(tmp_path)


async def test_a_fifo_without_a_writer_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    async with asyncio.timeout(2):
        assert "is a FIFO, expected a regular file" in await refusal(tmp_path / "fifo")


async def test_a_socket_is_refused(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        assert "cannot be opened" in await refusal(tmp_path / "socket")


async def test_a_device_is_refused():
    assert "is a device" in await refusal(Path("/dev/zero"))


async def test_a_huge_sparse_file_is_not_read(path):
    os.truncate(path, 10 * 1024**3)
    assert f"has {10 * 1024**3} bytes, expected a token of at most 16384" in await refusal(path)


async def test_a_file_without_a_size_is_read_up_to_the_cap():
    # The kernel's own files are regular, root's, not writable, and say that they hold nothing.
    assert "has more than 16384 bytes" in await refusal(Path("/proc/kallsyms"))


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
async def test_a_file_that_others_may_write_is_refused(path, mode):
    path.chmod(mode)
    reason = await refusal(path)
    assert f"has mode {mode:04o}, expected one that only its owner may write" in reason


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
async def test_a_strangers_file_is_refused(path):
    os.chown(path, 12345, 12345)
    assert "belongs to user 12345, expected 0 or root" in await refusal(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_file_that_may_not_be_read_is_named(tmp_path, path):
    program = (
        "import asyncio, os, sys, pathlib\n"
        "from imdsd.tokens.file import FileSource\n"
        "os.setuid(12345)\n"
        "asyncio.run(FileSource(pathlib.Path(sys.argv[1])).mint())\n"
    )
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    path.chmod(0o600)
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=False
    )
    assert "cannot be opened: Permission denied" in done.stderr


async def test_no_descriptor_is_leaked(path, tmp_path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    await FileSource(path).mint()
    await refusal(tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


async def test_the_token_is_in_no_output(path):
    path.write_text(f"{TOKEN}\n{TOKEN}")
    with pytest.raises(MintError) as caught:
        await FileSource(path).mint()
    assert TOKEN not in f"{FileSource(path)!r} {caught.value}"
