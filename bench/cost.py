#!/usr/bin/env python3
"""What snapshots cost against the size of the tree, for every mode and rung: bench/results/cost.{json,md,svg}.

    cost.py EXECUTOR [FILES...]     measures and draws; all sizes of the table unless some are named
    cost.py --draw                  draws again what cost.json holds

One stage of small RUNs over base images of many small files: ten, as few as three where each RUN costs a walk with content.
What counts is processor time, since that tells of the program also on a machine with other work. Every build has a new ext4 on a
loop device, whose image lies in BENCH_DIR (/dev/shm, 4 GB for 500,000 files). Base images are kept in target/cost. Needs root.
A mode that the executor does not have is left out, and said to be. With KANIKO_EXECUTOR=PATH kaniko's own figures stand
beside them: it builds in a chroot on the same kind of file system and takes its base from a registry on loopback.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

import cost_plot
from ground import TOP, call, file_system, registry

RESULTS = TOP / "bench/results"
SIZES = [20_000, 50_000, 100_000, 200_000, 500_000]
TICKS = os.sysconf("SC_CLK_TCK")
# Name, flag, RUNs. The first four are ways to a change set without loss; redo and time are kaniko's.
MODES = [
    ("events: fanotify", "--recorder=fanotify", 10),
    ("events: dirwatch", "--recorder=dirwatch", 10),
    ("events: sweep", "--recorder=sweep", 10),
    ("full", "--snapshot-mode=full", 3),
    ("redo", "--snapshot-mode=redo", 10),
    ("time", "--snapshot-mode=time", 10),
]
KANIKO_MODES = [("full", 3), ("redo", 10), ("time", 10)]
# A cell is built again while that takes less than this many seconds in all, up to three times; the least counts.
PATIENCE = 20


def offers(executor, flag):
    """Whether --help lists the flag's value."""
    name, value = flag.split("=")
    text = call(executor, "--help", capture_output=True, text=True).stdout
    section = re.search(rf"^ +{name} <.*?(?=^ +(?:-\w, )?--)", text, re.DOTALL | re.MULTILINE)
    return bool(section) and bool(re.search(rf"\b{value}\b", section.group()))


def disk_for(files):
    """A new file system with room for that many files."""
    return file_system((2 << 30) + files * 6144, files + files // 5 + 20_000)


def context(place, runs):
    """The build context."""
    place.mkdir()
    steps = "".join(f"RUN echo {number} > /file_{number}\n" for number in range(runs))
    (place / "Dockerfile").write_text("ARG BASE=base\nFROM $BASE\n" + steps)
    return place


def measure(executor, base, files, flag, runs):
    """One build; its figures in milliseconds, and counts."""
    with disk_for(files) as disk:
        timings = disk / "timings.json"
        call(executor, "--verbosity=error", f"--context={context(disk / 'context', runs)}", f"--build-root={disk}/build", "--no-push",
             f"--build-context=base=oci-layout://{base}:latest", flag, env={**os.environ, "BENCHMARK_FILE": str(timings)})
        return digest(json.loads(timings.read_text()), runs)


def digest(document, count):
    """The figures that the table shows, from the timings of one build with that many RUNs."""
    steps = [step for step in document["steps"] if step.get("recorder")]
    runs = [step for step in steps if step["instruction"].startswith("RUN")]
    assert len(runs) == count, f"{len(runs)} RUNs"
    spent = sum(step["record_ns"] + step["diff_ns"] + step["layer_ns"] for step in steps)
    return {
        "recorder": runs[0]["recorder"],
        "runs": count,
        "stats": statistics.median(step["stats"] for step in runs),
        "sweeps": sum(step["recorder"] == "sweep" for step in steps),
        "cpu_ms": sum(step["snapshot_cpu_ns"] for step in steps) / 1e6 / count,
        "wall_ms": spent / 1e6 / count,
    }


def measure_kaniko(executor, base, files, mode, runs):
    """One build by kaniko in a chroot. A snapshot lasts from its line in the log to the next line."""
    with disk_for(files) as disk, registry(disk / "registry") as address:
        call("skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", f"oci:{base}:latest",
             f"docker://{address}/base:1")
        root = disk / "root"
        for name in ["kaniko", "proc", "dev", "etc"]:
            (root / name).mkdir(parents=True)
        shutil.copy(executor, root / "kaniko/executor")
        context(root / "workspace", runs)
        script = 'mount --bind "$1" "$1"; mount -t proc proc "$1/proc"; mount --bind /dev "$1/dev"; cd "$1"; shift; exec chroot . "$@"'
        command = ["unshare", "--mount", "sh", "-euc", script, "sh", root, "/kaniko/executor", "--force", "--no-push", "--insecure-pull",
                   "--context=dir:///workspace", f"--build-arg=BASE={address}/base:1", f"--snapshot-mode={mode}", "--log-format=text"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as builder:
            # Each command of the chain becomes the next one, so the process is kaniko's.
            lines = [(time.monotonic(), processor_time(builder.pid), line) for line in builder.stdout]
        if builder.returncode:
            sys.exit("".join(line for *_, line in lines[-20:]) + "\ncost.py: kaniko failed")
        return kaniko_figures(lines, runs)


def processor_time(pid):
    """Seconds so far; proc_pid_stat(5). Of one that just ended, none are known."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / TICKS


def kaniko_figures(lines, runs):
    """The snapshots of the RUNs, from kaniko's log and the moments at which its lines came; the first one is that of the base."""
    spent, since = [], None
    for wall, cpu, line in lines:
        if since is not None:
            spent.append((wall - since[0], cpu - since[1]))
        since = (wall, cpu) if "Taking snapshot" in line else None
    assert len(spent) == runs + 1, f"{len(spent)} snapshots in kaniko's log"
    wall, cpu = (sum(column) * 1000 / runs for column in zip(*spent[1:]))
    return {"recorder": "kaniko", "runs": runs, "stats": None, "sweeps": 0, "cpu_ms": cpu, "wall_ms": wall}


def series(executor):
    """Name and measuring function of each row; what is left out is said."""
    for name, flag, runs in MODES:
        if offers(executor, flag):
            yield name, lambda base, files, flag=flag, runs=runs: measure(executor, base, files, flag, runs)
        else:
            print(f"{name}: left out, since this executor has no {flag}")
    kaniko = os.environ.get("KANIKO_EXECUTOR")
    for mode, runs in KANIKO_MODES if kaniko else []:
        yield f"kaniko: {mode}", lambda base, files, mode=mode, runs=runs: measure_kaniko(kaniko, base, files, mode, runs)
    if not kaniko:
        print("kaniko: left out, since KANIKO_EXECUTOR is not set")


def least(run, base, files):
    """The cheapest of up to three builds, since the machine has other work too."""
    since, found = time.monotonic(), []
    while len(found) < 3 and (not found or time.monotonic() - since < PATIENCE):
        found.append(run(base, files))
    return min(found, key=lambda row: row["cpu_ms"])


def main(executor, sizes):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("cost.py: stopped"))  # as an interrupt: nothing stays mounted
    executor = pathlib.Path(executor).resolve()
    rows, todo = [], list(series(executor))
    machine = f"Linux {os.uname().release.split('-')[0]}, {os.cpu_count()} cores"
    RESULTS.mkdir(exist_ok=True)
    for files in sizes:
        base = TOP / f"target/cost/base-{files}"
        call(TOP / "scripts/make-base.py", f"files:{files}", base)
        for name, run in todo:
            row = {"files": files, "name": name, **least(run, base, files)}
            print(f"{files} {name}: {row['cpu_ms']:.2f} ms of processor time a RUN, {row['wall_ms']:.2f} ms", flush=True)
            rows.append(row)
            (RESULTS / "cost.json").write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")
    cost_plot.draw(RESULTS)


if __name__ == "__main__":
    if sys.argv[1:] == ["--draw"]:
        cost_plot.draw(RESULTS)
    elif len(sys.argv) > 1:
        main(sys.argv[1], [int(size) for size in sys.argv[2:]] or SIZES)
    else:
        sys.exit(__doc__)
