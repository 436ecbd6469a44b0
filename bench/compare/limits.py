"""What the machine itself can do with the same data: plain tools, in turns with silt's own parts (bench/examples)."""

import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

from ground import call, file_system
import workloads

CORES = len(os.sched_getaffinity(0))


def piped(command):
    """Seconds of a shell command, and how many bytes it wrote."""
    since = time.monotonic()
    out = subprocess.run(["sh", "-euc", f"{{ {command}; }} | wc -c"], check=True, capture_output=True, text=True).stdout
    return time.monotonic() - since, int(out)


def unpacked(command):
    """Seconds of a command that fills the directory after its last word, on a file system of its own."""
    with file_system(12 << 30, 600_000) as disk:
        since = time.monotonic()
        call(*command, disk, stdout=subprocess.DEVNULL)
        return time.monotonic() - since, 0


def mixed(top):
    """A gigabyte of text in files of all sizes, and of noise: 20 % of it."""
    workloads.tree(top / "text", 160_000, 5)
    workloads.noise(top / "noise", 200 << 20)


def alternating(commands, rounds):
    """Rows of name, seconds (the median) and bytes; the first command is silt's."""
    found = {name: [] for name in commands}
    for _ in range(rounds):
        for name, run in commands.items():
            found[name].append(run())
    return [{"name": name, "seconds": statistics.median(seconds for seconds, _ in runs), "bytes": runs[0][1]} for name, runs in found.items()]


def all_of(examples, rounds):
    """A list of comparisons: what it is of, and its rows."""
    layout = workloads.base("large")
    with tempfile.TemporaryDirectory(prefix="bench.", dir="/dev/shm") as work:
        work = pathlib.Path(work)
        call("umoci", "raw", "unpack", "--image", f"{layout}:latest", work / "tree")
        call("tar", "-C", work / "tree", "-cf", work / "tree.tar", ".")
        call("rm", "-rf", work / "tree")
        unpack = {
            "silt": lambda: unpacked([examples / "unpack", work / "tree.tar"]),
            "tar -x": lambda: unpacked(["tar", "-xf", work / "tree.tar", "-C"]),
            "sha256sum": lambda: piped(f"sha256sum {work}/tree.tar"),
        }
        of_unpacking = {"what": "unpacking the large base, an uncompressed tar, on a new ext4", "rows": alternating(unpack, rounds)}
        (work / "tree.tar").unlink()
        mixed(work / "mixed")
        tar, layer = f"tar -C {work}/mixed -c .", f"{examples}/layer {work}/mixed"
        gzip = {"silt": lambda: piped(f"{layer} gzip 3 -"), f"tar -c | pigz -p {CORES} -3": lambda: piped(f"{tar} | pigz -p {CORES} -3")}
        if shutil.which("igzip"):
            gzip["tar -c | igzip (another size)"] = lambda: piped(f"{tar} | igzip -1")
        zstd = {"silt": lambda: piped(f"{layer} zstd 3 -"), "tar -c | zstd -T0": lambda: piped(f"{tar} | zstd -q -T0"), "tar -c": lambda: piped(tar)}
        return [
            of_unpacking,
            {"what": "a layer of a gigabyte of text and noise, gzip level 3", "rows": alternating(gzip, rounds)},
            {"what": "the same layer, zstd level 3", "rows": alternating(zstd, rounds)},
        ]
