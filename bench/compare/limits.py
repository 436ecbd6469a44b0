"""What the machine itself can do with the same data: plain tools, alternating with silt's own layer writer."""

import os
import statistics
import tempfile
import time

from ground import call, file_system
import workloads

CORES = len(os.sched_getaffinity(0))


def seconds(command):
    since = time.monotonic()
    call("sh", "-euc", command)
    return time.monotonic() - since


def all_of(rounds):
    """Name and seconds of each limit, the least of `rounds`: the base's tree as a tar in memory, and what is made of it."""
    layout = workloads.base("large")
    with tempfile.TemporaryDirectory(prefix="bench.", dir="/dev/shm") as work:
        call("umoci", "raw", "unpack", "--image", f"{layout}:latest", f"{work}/tree")
        call("tar", "-C", f"{work}/tree", "-cf", f"{work}/tree.tar", ".")
        commands = {
            "tar -x": None,
            "tar -c to nowhere": f"tar -C {work}/tree -c . | cat > /dev/null",
            f"tar -c | pigz -p {CORES} -3": f"tar -C {work}/tree -c . | pigz -p {CORES} -3 > /dev/null",
            "tar -c | zstd -T0": f"tar -C {work}/tree -c . | zstd -q -T0 > /dev/null",
            "sha256sum": f"sha256sum {work}/tree.tar > /dev/null",
        }
        found = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                if command:
                    found[name].append(seconds(command))
                else:
                    with file_system(12 << 30, 600_000) as disk:
                        found[name].append(seconds(f"tar -xf {work}/tree.tar -C {disk}"))
        return {name: statistics.median(times) for name, times in found.items()}
