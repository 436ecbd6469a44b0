#!/usr/bin/env bash
# Builds examples/hello twice, with kernel events and with a full walk, and shows for each layer what is in it and what finding it cost.
# usage: demo.sh EXECUTOR
set -euo pipefail

executor=$(realpath "$1")
cd "$(dirname "$0")/.."
mkdir -p target
work=$(mktemp -d "$PWD/target/demo.XXXXXX")
trap 'rm -rf "$work"' EXIT

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# build MODE: makes $work/MODE (an OCI layout, as skopeo rewrites it), $work/MODE.json (timings) and $work/MODE.tree (its files).
build() {
    local mode=$1
    BENCHMARK_FILE=$work/$mode.json "$executor" \
        --context="dir://$PWD/examples/hello" --dockerfile="$PWD/examples/hello/Dockerfile" \
        --build-context="base=oci-layout://$work/base:latest" \
        --build-root="$work/$mode.root" --snapshot-mode="$mode" \
        --no-push --oci-layout-path="$work/$mode.out"
    skopeo --insecure-policy copy --quiet "oci:$work/$mode.out" "oci:$work/$mode:latest"
    umoci --log=error unpack --image "$work/$mode:latest" "$work/$mode.bundle"
    mv "$work/$mode.bundle/rootfs" "$work/$mode.tree"
}

blob() { printf '%s/blobs/%s\n' "$1" "${2/://}"; }

# layers LAYOUT: the files that hold its layers, lowest first.
layers() {
    local layout=$1 manifest digest
    manifest=$(blob "$layout" "$(jq -r '.manifests[0].digest' "$layout/index.json")")
    jq -r '.layers[].digest' "$manifest" | while read -r digest; do blob "$layout" "$digest"; done
}

# steps MODE: one JSON object for each step of the last stage that made a layer.
steps() {
    jq -c '(.steps | last | .stage) as $last | .steps[] | select(.stage == $last and .changes > 0)' "$work/$1.json"
}

# cost STEP: milliseconds, and by which means.
cost() {
    jq -r '[(.record_ns + .diff_ns + .layer_ns) / 1e6, (.recorder // "the paths it wrote"), .stats] | @tsv' <<<"$1" |
        awk -F'\t' '{ printf "%9.3f ms, %s paths looked at (%s)", $1, $3, $2 }'
}

# listing TREE: all that both builds must agree on. Times are left out: each build has its own.
listing() {
    (cd "$1" && find . -printf '%P|%y|%m|%U:%G|%l\n' | LC_ALL=C sort && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
}

say "A base image with 10,000 files besides busybox, as an OCI layout"
scripts/make-base.py files:10000 "$work/base"
skopeo --insecure-policy inspect "oci:$work/base:latest" | jq -c '{Digest, Layers: (.Layers | length)}'

for mode in events full; do
    say "Building examples/hello with --snapshot-mode=$mode"
    build "$mode"
done

say "The layers that the build added, and what it took to find each"
mapfile -t base < <(layers "$work/base")
mapfile -t made < <(layers "$work/events")
mapfile -t full < <(layers "$work/full")
mapfile -t by_events < <(steps events)
mapfile -t by_walk < <(steps full)
count=$((${#made[@]} - ${#base[@]}))
if ((count < 5 || count != ${#by_events[@]} || count != ${#by_walk[@]} || ${#made[@]} != ${#full[@]})); then
    echo "demo: $count layers, but ${#by_events[@]} and ${#by_walk[@]} steps say that they made one" >&2
    exit 1
fi
for ((i = 0; i < count; i++)); do
    printf '\n%s\n' "$(jq -r '"Dockerfile:\(.line)  \(.instruction)"' <<<"${by_events[i]}")"
    tar --list --gzip --file "${made[${#base[@]} + i]}" | sed 's/^/    /'
    printf '  events: %s\n  full:   %s\n' "$(cost "${by_events[i]}")" "$(cost "${by_walk[i]}")"
done

say "Both images, unpacked by umoci"
listing "$work/events.tree" >"$work/events.listing"
listing "$work/full.tree" >"$work/full.listing"
if ! diff "$work/events.listing" "$work/full.listing"; then
    echo "demo: the two images hold different trees" >&2
    exit 1
fi
echo "the same tree: $(find "$work/events.tree" | wc -l) paths agree in type, mode, owner, link target and content"
