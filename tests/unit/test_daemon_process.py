"""How the process of a daemon ends, though a thread of it may hang for ever."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from imdsd.daemon import process

PROGRAM = """
import asyncio, sys, threading
from imdsd.daemon import process

async def main():
    loop = asyncio.get_running_loop()
    {body}
    return 7

code = process.run(main)
print("stopped", file=sys.stderr)
process.leave_behind_stuck_threads(code)
print("nothing hung", flush=True)
sys.exit(code + 1)
"""
# As a look-up in the C library's resolver: it takes no notice of anybody.
HANGS = "loop.run_in_executor(None, threading.Event().wait)"
HANGS_AND_IS_AWAITED = f"""
    try:
        async with asyncio.timeout(0.01):
            await {HANGS}
    except TimeoutError:
        pass
"""
ENDS = "await asyncio.to_thread(int)"
FULL = Path("/dev/full")


def run(body, **options):
    code = PROGRAM.format(body=body)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run(
        [sys.executable, "-c", code], text=True, timeout=60, check=False, **streams
    )


def test_a_process_whose_threads_have_ended_goes_on_to_its_own_end():
    done = run(ENDS)
    assert (done.returncode, done.stdout) == (8, "nothing hung\n")


def test_a_process_that_used_no_thread_goes_on_to_its_own_end():
    assert run("pass").returncode == 8


@pytest.mark.parametrize("body", [HANGS, HANGS_AND_IS_AWAITED])
def test_a_thread_that_hangs_does_not_keep_the_process(body):
    done = run(body)
    assert (done.returncode, done.stdout) == (7, "")
    assert done.stderr == "stopped\n"


def test_what_was_told_before_is_not_lost():
    assert run(f"print('told'); {HANGS}").stdout == "told\n"


def test_more_work_than_threads_does_not_keep_it_either():
    done = run(f"[{HANGS} for _ in range(200)]")
    assert (done.returncode, done.stderr) == (7, "stopped\n")


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_full_disk_under_the_log_does_not_change_the_exit_status():
    with FULL.open("w") as full:
        body = f"sys.stderr = open('/dev/full', 'w'); sys.stderr.write('x'); {HANGS}"
        assert run(body, stderr=full).returncode == 7


def test_an_error_of_the_daemon_comes_through():
    done = run("raise ValueError('from inside')")
    assert done.returncode == 1
    assert "ValueError: from inside" in done.stderr


def test_what_comes_after_the_first_answers_is_left_alone_by_the_collector():
    code = """
import asyncio, gc
from imdsd.daemon import service
class Door:
    async def load(self, aside):
        await aside(int)
asyncio.run(service._load_the_rest(Door()))
print(gc.get_freeze_count() > 1000)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


async def test_the_loop_goes_on_while_something_is_loaded_aside():
    go_on, threads = threading.Event(), set(threading.enumerate())
    loading = asyncio.create_task(process.aside(lambda: go_on.wait(30)))
    for _ in range(100):
        await asyncio.sleep(0)  # noqa: TID251  # a turn of the loop
    assert not loading.done()
    go_on.set()
    async with asyncio.timeout(30):
        await loading
    for thread in set(threading.enumerate()) - threads:
        thread.join(30)
        assert not thread.is_alive()


def test_what_is_loaded_aside_does_not_keep_the_process():
    done = run("asyncio.create_task(process.aside(threading.Event().wait)); await asyncio.sleep(0)")
    assert (done.returncode, done.stdout) == (8, "nothing hung\n")
