#!/usr/bin/env bash
# What a RUN that touches one file costs, by size of the tree and by snapshot mode: the table of README.md.
# usage: ten-runs.sh EXECUTOR [DIR]     DIR: where to build; a tmpfs with 2 GB free by default
set -euo pipefail

executor=$(realpath "$1")
cd "$(dirname "$0")/.."
work=$(mktemp -d "${2:-/dev/shm}/ten-runs.XXXXXX")
trap 'rm -rf "$work"' EXIT

mkdir "$work/context"
{
    echo "FROM base"
    for i in {0..9}; do echo "RUN echo $i > /file_$i"; done
} >"$work/context/Dockerfile"

echo "| base | mode | recorder | paths looked at | snapshot, ms | of it CPU, ms | all of the stage, ms | unpack, s | build, s | peak MB |"
echo "|---|---|---|---|---|---|---|---|---|---|"
for files in 20000 200000; do
    scripts/make-base.py "files:$files" "$work/base-$files" >&2
    for mode in events full; do
        BENCHMARK_FILE=$work/timings.json "$executor" --verbosity=error --context="$work/context" --build-root="$work/root" \
            --build-context="base=oci-layout://$work/base-$files:latest" --no-push --snapshot-mode="$mode"
        jq -r --arg base "$files files" --arg mode "$mode" '
            def median: sort | .[length / 2 | floor];
            def snapshot: (.record_ns + .diff_ns + .layer_ns) / 1e6;
            [.steps[] | select(.recorder)] as $all
            | [$all[] | select(.instruction | startswith("RUN"))] as $runs
            | [$base, $mode, $runs[0].recorder,
               ($runs | map(.stats) | median),
               ($runs | map(snapshot) | median),
               ($runs | map(.snapshot_cpu_ns / 1e6) | median),
               ($all | map(snapshot) | add),
               .totals.unpack_ns / 1e9, .totals.wall_ns / 1e9, .totals.peak_rss_bytes / 1e6]
            | "| " + (map(if type == "number" then (. * 100 | round / 100) else . end | tostring) | join(" | ")) + " |"' \
            "$work/timings.json"
    done
done
