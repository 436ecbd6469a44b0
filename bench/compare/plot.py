"""The table and the bars of bench/results/compare.json; no library."""

import json

COLORS = {"silt events": "#1b7f4b", "silt full": "#8fc9a9", "buildah": "#2c6fbb", "dockerd's BuildKit": "#c47f17",
          "kaniko full": "#a33131", "kaniko redo": "#d98a8a"}
WIDTH, LEFT, BAR = 860, 170, 16


def draw(results):
    """Writes compare.md and compare.svg beside compare.json."""
    document = json.loads((results / "compare.json").read_text())
    (results / "compare.md").write_text(table(document))
    (results / "compare.svg").write_text(bars(document["rows"]))


def table(document):
    """Markdown; ratios are to `silt events` of the same workload."""
    versions = "; ".join(f"{name}: {version}" for name, version in document["builders"].items())
    head = f"""# Whole builds, cold, pulled from and pushed to a registry on loopback

{document["machine"]}; every build on a new ext4 on a loop device in memory; builders in turn, medians. {versions}. Made by `make bench`; what
each workload is: bench/compare/workloads.py.

![seconds of each build](compare.svg)

| workload | builder | rounds | seconds | to silt | processor seconds | to silt | peak of one process, MB |
|---|---|---:|---:|---:|---:|---:|---:|
"""
    ours = {row["workload"]: row for row in document["rows"] if row["builder"] == "silt events"}
    lines = []
    for row in document["rows"]:
        own = ours[row["workload"]]
        lines.append(f"| {row['workload']} | {row['builder']} | {row['rounds']} | {row['wall']:.1f} | {row['wall'] / own['wall']:.2f} | "
                     f"{row['cpu']:.1f} | {row['cpu'] / own['cpu']:.2f} | {row['peak']:.0f} |\n")
    tail = ""
    if document["limits"]:
        tail = "\n## What the machine can do with the large base's tree, by plain tools\n\n| command | seconds |\n|---|---:|\n"
        tail += "".join(f"| `{name}` | {took:.1f} |\n".replace(" | pigz", " \\| pigz").replace(" | zstd", " \\| zstd")
                        for name, took in document["limits"].items())
    return head + "".join(lines) + tail


def bars(rows):
    """A bar for each build, of the seconds that it took."""
    workloads = list(dict.fromkeys(row["workload"] for row in rows))
    height = 60 + len(rows) * BAR + len(workloads) * 14
    most = max(row["wall"] for row in rows)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
             '<text x="20" y="26" font-size="16" font-weight="bold">Seconds of a whole build, cold, pushed</text>']
    y = 44
    for workload in workloads:
        parts.append(f'<text x="20" y="{y + 12}" font-weight="bold">{workload}</text>')
        for row in (row for row in rows if row["workload"] == workload):
            length = max(1, (WIDTH - LEFT - 220) * row["wall"] / most)
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 3}" fill="{COLORS.get(row["builder"], "#777777")}"/>')
            parts.append(f'<text x="{LEFT + length + 6:.1f}" y="{y + 11}">{row["wall"]:.1f} s, {row["builder"]}</text>')
            y += BAR
        y += 14
    return "\n".join(parts + ["</svg>\n"])
