"""What a burst leaves free goes back to the system, in a process of its own: others' memory must not blur it."""

import os
import subprocess
import sys

import pytest

_BURST = """
import asyncio, os
from penstock.kube.memory import give_back_after_bursts

def resident() -> int:
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

async def main() -> None:
    busy = True
    tidying = asyncio.create_task(give_back_after_bursts(lambda: busy, 0.01))
    burst = [bytes(1000) for _ in range(60_000)]
    last = bytes(1000)  # at the end of the heap: without being asked, the system gets nothing back
    await asyncio.sleep(0.1)
    while_busy = resident()
    burst.clear()
    freed = resident()
    busy = False
    deadline = asyncio.get_running_loop().time() + 20
    while resident() > freed - 30_000_000 and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.01)
    print(while_busy - freed, freed - resident(), len(last))
    tidying.cancel()

asyncio.run(main())
"""


@pytest.mark.skipif("CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="only glibc keeps freed pages")
def test_what_a_burst_left_free_is_given_back_when_it_is_over():
    done = subprocess.run([sys.executable, "-c", _BURST], capture_output=True, text=True, check=True, timeout=60)
    at_once, later, _ = map(int, done.stdout.split())
    assert at_once < 30_000_000, "freeing alone gave it back: the test shows nothing"
    assert later >= 30_000_000
