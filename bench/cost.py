#!/usr/bin/env python3
"""What snapshots cost against the size of the tree, for every mode and rung: bench/results/cost.{json,md,svg}.

    cost.py EXECUTOR [FILES...]     measures and draws; all sizes of the table unless some are named
    cost.py --draw                  draws again what cost.json holds

One stage of ten RUNs that write one small file each, over base images of many small files. Every build has a new ext4 on a
loop device, whose image lies in COST_DIR (/dev/shm, 4 GB for 500,000 files). Base images are kept in target/cost. Needs root.
A mode that the executor does not have is left out, and said to be. With KANIKO_EXECUTOR=PATH kaniko's own figures stand
beside them: it builds in a chroot on the same kind of file system and takes its base from a registry on loopback.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import cost_plot

TOP = pathlib.Path(__file__).resolve().parent.parent
RESULTS = TOP / "bench/results"
SIZES = [20_000, 50_000, 100_000, 200_000, 500_000]
RUNS = 10
# Name, flag. The first four are ways to a change set without loss; kaniko's two modes are compared as kaniko has them.
MODES = [
    ("events: fanotify", "--recorder=fanotify"),
    ("events: dirwatch", "--recorder=dirwatch"),
    ("events: sweep", "--recorder=sweep"),
    ("full", "--snapshot-mode=full"),
    ("redo", "--snapshot-mode=redo"),
    ("time", "--snapshot-mode=time"),
]
KANIKO_MODES = ["full", "redo", "time"]


def call(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, **options)


def offers(executor, flag):
    """Whether --help lists the flag's value."""
    name, value = flag.split("=")
    text = call(executor, "--help", capture_output=True, text=True).stdout
    section = re.search(rf"^ +{name} <.*?(?=^ +(?:-\w, )?--)", text, re.DOTALL | re.MULTILINE)
    return bool(section) and bool(re.search(rf"\b{value}\b", section.group()))


@contextlib.contextmanager
def file_system(files):
    """A new ext4 with room for that many files, mounted; its directory."""
    with tempfile.TemporaryDirectory(prefix="cost.", dir=os.environ.get("COST_DIR", "/dev/shm")) as work:
        image, place = pathlib.Path(work) / "image", pathlib.Path(work) / "mounted"
        with open(image, "wb") as out:
            out.truncate((2 << 30) + files * 6144)
        call("mkfs.ext4", "-q", "-F", "-N", files + files // 5 + 20_000, image)
        place.mkdir()
        call("mount", "-o", "loop", image, place)
        try:
            yield place
        finally:
            call("umount", place)


def context(place):
    """The build context."""
    place.mkdir()
    steps = "".join(f"RUN echo {number} > /file_{number}\n" for number in range(RUNS))
    (place / "Dockerfile").write_text("ARG BASE=base\nFROM $BASE\n" + steps)
    return place


def measure(executor, base, files, flag):
    """One build; its figures in milliseconds, and counts."""
    with file_system(files) as disk:
        timings = disk / "timings.json"
        call(executor, "--verbosity=error", f"--context={context(disk / 'context')}", f"--build-root={disk}/build", "--no-push",
             f"--build-context=base=oci-layout://{base}:latest", flag, env={**os.environ, "BENCHMARK_FILE": str(timings)})
        return digest(json.loads(timings.read_text()))


def digest(document):
    """The figures that the table shows, from the timings of one build."""
    steps = [step for step in document["steps"] if step.get("recorder")]
    runs = [step for step in steps if step["instruction"].startswith("RUN")]
    assert len(runs) == RUNS, f"{len(runs)} RUNs"

    def spent(step):
        return (step["record_ns"] + step["diff_ns"] + step["layer_ns"]) / 1e6

    return {
        "recorder": runs[0]["recorder"],
        "stats": statistics.median(step["stats"] for step in runs),
        "run_ms": statistics.median(map(spent, runs)),
        "stage_ms": sum(map(spent, steps)),
        "stage_cpu_ms": sum(step["snapshot_cpu_ns"] for step in steps) / 1e6,
        "sweeps": sum(step["recorder"] == "sweep" for step in steps),
    }


@contextlib.contextmanager
def registry():
    """docker-registry on loopback; its address."""
    with tempfile.TemporaryDirectory() as work:
        address = f"127.0.0.1:{20_000 + os.getpid() % 10_000}"
        config = pathlib.Path(work) / "config.yml"
        config.write_text(f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {work}/store}}}}\n"
                          f"http: {{addr: \"{address}\"}}\n")
        server = subprocess.Popen(["docker-registry", "serve", config], stderr=subprocess.DEVNULL)
        time.sleep(2)
        try:
            yield address
        finally:
            server.kill()
            server.wait()


def measure_kaniko(executor, base, files, mode):
    """One build by kaniko in a chroot. A snapshot lasts from its line in the log to the next line of a step or of the end."""
    with file_system(files) as disk, registry() as address:
        call("skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", f"oci:{base}:latest",
             f"docker://{address}/base:1")
        root = disk / "root"
        for name in ["kaniko", "proc", "dev", "etc"]:
            (root / name).mkdir(parents=True)
        shutil.copy(executor, root / "kaniko/executor")
        context(root / "workspace")
        script = 'mount --bind "$1" "$1"; mount -t proc proc "$1/proc"; mount --bind /dev "$1/dev"; cd "$1"; shift; exec chroot . "$@"'
        command = ["unshare", "--mount", "sh", "-euc", script, "sh", root, "/kaniko/executor", "--force", "--no-push", "--insecure-pull",
                   "--context=dir:///workspace", f"--build-arg=BASE={address}/base:1", f"--snapshot-mode={mode}", "--log-format=text"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as builder:
            lines = [(time.monotonic(), line) for line in builder.stdout]
        if builder.returncode:
            sys.exit("".join(line for _, line in lines[-20:]) + "\ncost.py: kaniko failed")
        return kaniko_figures(lines)


def kaniko_figures(lines):
    """The snapshots after the first RUN, from kaniko's log and the moments at which its lines came."""
    spent, ran, since = [], False, None
    for moment, line in lines:
        if since is not None:
            spent.append((moment - since) * 1000)
            since = None
        ran = ran or "RUN echo" in line
        if ran and "Taking snapshot" in line:
            since = moment
    assert len(spent) == RUNS, f"{len(spent)} snapshots in kaniko's log"
    return {"recorder": "kaniko", "stats": None, "run_ms": statistics.median(spent), "stage_ms": sum(spent), "stage_cpu_ms": None,
            "sweeps": 0}


def series(executor):
    """Name and measuring function of each row; what is left out is said."""
    for name, flag in MODES:
        if offers(executor, flag):
            yield name, lambda base, files, flag=flag: measure(executor, base, files, flag)
        else:
            print(f"{name}: left out, since this executor has no {flag}")
    kaniko = os.environ.get("KANIKO_EXECUTOR")
    for mode in KANIKO_MODES if kaniko else []:
        yield f"kaniko: {mode}", lambda base, files, mode=mode: measure_kaniko(kaniko, base, files, mode)
    if not kaniko:
        print("kaniko: left out, since KANIKO_EXECUTOR is not set")


def main(executor, sizes):
    executor = pathlib.Path(executor).resolve()
    rows, todo = [], list(series(executor))
    for files in sizes:
        base = TOP / f"target/cost/base-{files}"
        call(TOP / "scripts/make-base.py", f"files:{files}", base)
        for name, run in todo:
            row = {"files": files, "name": name, **run(base, files)}
            print(f"{files} {name}: {row['stage_ms']:.1f} ms in all, {row['run_ms']:.2f} ms a RUN", flush=True)
            rows.append(row)
    machine = f"Linux {os.uname().release.split('-')[0]}, {os.cpu_count()} cores"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "cost.json").write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")
    cost_plot.draw(RESULTS)


if __name__ == "__main__":
    if sys.argv[1:] == ["--draw"]:
        cost_plot.draw(RESULTS)
    elif len(sys.argv) > 1:
        main(sys.argv[1], [int(size) for size in sys.argv[2:]] or SIZES)
    else:
        sys.exit(__doc__)
