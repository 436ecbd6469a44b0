"""Whole builds by silt and by whatever else is here, and what the machine can do: bench/results/compare.{json,md,svg}, phases.svg.

    bench/compare/run EXECUTOR [--rounds=N] [--limits] [WORKLOAD...]    measures and draws; all workloads unless some are named
    bench/compare/run --draw                                            draws again what compare.json holds

Every build is cold: a new ext4 on a loop device in memory, the base pulled from a registry on loopback, the image pushed to it. The
builders take turns, and medians are compared, since other work on the machine is felt by all of them alike. Needs root, and 16 GB in
/dev/shm (BENCH_DIR). BENCH_FILES is the size of the large trees (200,000).
"""

import json
import os
import pathlib
import signal
import statistics
import sys
import tempfile

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parent.parent))

import builders
import limits
import plot
import workloads
from ground import TOP, Group, Used, call, file_system, registry

RESULTS = TOP / "bench/results"


def one(builder, workload, group, address, number):
    """One cold build."""
    context, base = workload.context(), f"{address}/base:{workload.base}"
    with file_system(workload.gigabytes << 30, workloads.FILES * 5 + 200_000) as disk:
        with builder.ready(disk, group) as build:
            to = f"{address}/{workload.name}:{builder.name.replace(' ', '-').replace(chr(39), '')}-{number}".lower()
            used = Used.by(lambda: build(context, base, to, *workload.flags(address, number)), group)
            return used, builder.phases(disk) if isinstance(builder, builders.Executor) else {}


def compare(found, workload, rounds, group):
    """The rows of one workload; a registry of its own holds the base, and is gone with what was pushed."""
    with tempfile.TemporaryDirectory(prefix="bench.", dir=os.environ.get("BENCH_DIR", "/dev/shm")) as store, registry(store) as address:
        call("skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", f"oci:{workloads.base(workload.base)}:latest",
             f"docker://{address}/base:{workload.base}")
        if workload.cached:
            # Of what a cache holds builders have their own ideas; these two have one.
            found = [builder for builder in found if isinstance(builder, builders.Executor)]
            one(found[0], workload, group, address, -1)
        runs = {builder.name: [] for builder in found}
        for number in range(rounds):
            for builder in found:
                used, phases = one(builder, workload, group, address, number)
                print(f"{workload.name}: {builder.name}: {used.wall:.1f} s, {used.cpu:.1f} s of processor time, {used.peak:.0f} MB", flush=True)
                runs[builder.name].append((used, phases))
        for name, used in runs.items():
            median = {field: statistics.median(getattr(run, field) for run, _ in used) for field in ("wall", "cpu", "peak")}
            phases = {phase: statistics.median(run[phase] for _, run in used) for phase in used[0][1]}
            yield {"workload": workload.name, "builder": name, "rounds": rounds, **median, "phases": phases}


def main(arguments):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))  # as an interrupt: nothing stays mounted
    executor, names, rounds = pathlib.Path(arguments[0]).resolve(), [], 3
    for argument in arguments[1:]:
        if argument.startswith("--rounds="):
            rounds = int(argument.removeprefix("--rounds="))
        elif argument != "--limits":
            names.append(argument)
    known = {workload.name: workload for workload in workloads.ALL}
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"bench: no workload is called {unknown[0]}; there are {', '.join(known)}")
    chosen = [known[name] for name in names] or ([] if "--limits" in arguments else list(known.values()))
    group, found = Group(), builders.present(executor)
    path = RESULTS / "compare.json"
    document = json.loads(path.read_text()) if path.exists() else {"rows": [], "limits": []}
    document["machine"] = f"Linux {os.uname().release.split('-')[0]}, {len(os.sched_getaffinity(0))} cores"
    document["builders"] = {builder.name: builder.version() for builder in found}
    try:
        for workload in chosen:
            rows = list(compare(found, workload, rounds, group))
            document["rows"] = [row for row in document["rows"] if row["workload"] != workload.name] + rows
            path.write_text(json.dumps(document, indent=1) + "\n")
        if "--limits" in arguments or not names:
            document["limits"] = limits.all_of(executor.parent / "examples", rounds)
            path.write_text(json.dumps(document, indent=1) + "\n")
    finally:
        group.close()
    plot.draw(RESULTS)


if __name__ == "__main__":
    if sys.argv[1:] == ["--draw"]:
        plot.draw(RESULTS)
    elif len(sys.argv) > 1:
        main(sys.argv[1:])
    else:
        sys.exit(__doc__)
