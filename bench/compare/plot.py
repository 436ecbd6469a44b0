"""The table and the bars of bench/results/compare.json; no library."""

import json

COLORS = {"silt events": "#1b7f4b", "silt full": "#8fc9a9", "buildah": "#2c6fbb", "dockerd's BuildKit": "#c47f17",
          "kaniko full": "#a33131", "kaniko redo": "#d98a8a"}
PHASES = {"pull": "#2c6fbb", "unpack": "#1b7f4b", "steps": "#8a8a8a", "look": "#a33131", "write layers": "#c47f17", "push": "#7b4ba0"}
WIDTH, LEFT, BAR = 860, 170, 16


def draw(results):
    """Writes compare.md and the drawings beside compare.json."""
    document = json.loads((results / "compare.json").read_text())
    (results / "compare.md").write_text(table(document))
    (results / "compare.svg").write_text(bars(document["rows"]))
    (results / "phases.svg").write_text(stacks(document["rows"]))


def table(document):
    """Markdown; ratios are to `silt events` of the same workload."""
    versions = "; ".join(f"{name}: {version}" for name, version in document["builders"].items())
    head = f"""# Whole builds, cold, pulled from and pushed to a registry on loopback

{document["machine"]}; every build on a new ext4 on a loop device in memory; builders in turn, medians. {versions}. Made by `make bench`; what
each workload is: bench/compare/workloads.py.

![seconds of each build](compare.svg)

![seconds of each phase of silt's builds](phases.svg)

| workload | builder | rounds | seconds | to silt | processor seconds | to silt | peak of one process, MB |
|---|---|---:|---:|---:|---:|---:|---:|
"""
    ours = {row["workload"]: row for row in document["rows"] if row["builder"] == "silt events"}
    lines = []
    for row in document["rows"]:
        own = ours[row["workload"]]
        lines.append(f"| {row['workload']} | {row['builder']} | {row['rounds']} | {row['wall']:.1f} | {row['wall'] / own['wall']:.2f} | "
                     f"{row['cpu']:.1f} | {row['cpu'] / own['cpu']:.2f} | {row['peak']:.0f} |\n")
    return head + "".join(lines) + "".join(limits(limit) for limit in document["limits"])


def limits(limit):
    """The table of one comparison with plain tools."""
    own = limit["rows"][0]
    head = f"\n## By plain tools: {limit['what']}\n\n| | seconds | to silt | megabytes out |\n|---|---:|---:|---:|\n"
    of = lambda row: f"{row['bytes'] / 1e6:.1f}" if row["bytes"] > 1000 else ""
    lines = (f"| {row['name'].replace('|', chr(92) + '|')} | {row['seconds']:.2f} | {row['seconds'] / own['seconds']:.2f} | {of(row)} |\n" for row in limit["rows"])
    return head + "".join(lines)


def bars(rows):
    """A bar for each build, of the seconds that it took."""
    parts = [{row["builder"]: (row["wall"], COLORS.get(row["builder"], "#777777"))} for row in rows]
    return chart("Seconds of a whole build, cold, pushed", rows, parts)


def stacks(rows):
    """A bar for each build of silt, of its phases; those that overlap are drawn one after the other."""
    rows = [row for row in rows if row.get("phases")]
    parts = [{phase: (seconds, PHASES[phase]) for phase, seconds in row["phases"].items()} for row in rows]
    legend = "".join(f'<rect x="{20 + at * 130}" y="34" width="12" height="12" fill="{color}"/><text x="{38 + at * 130}" y="44">{phase}</text>'
                     for at, (phase, color) in enumerate(PHASES.items()))
    return chart("Seconds of each phase of silt's builds", rows, parts, legend)


def chart(title, rows, parts, legend=""):
    """One line for each row, with its parts side by side: name → (seconds, colour)."""
    workloads = list(dict.fromkeys(row["workload"] for row in rows))
    height = 70 + len(rows) * BAR + len(workloads) * 14
    most = max(sum(seconds for seconds, _ in of.values()) for of in parts)
    drawn = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>', f'<text x="20" y="24" font-size="16" font-weight="bold">{title}</text>', legend]
    y = 58
    for workload in workloads:
        drawn.append(f'<text x="20" y="{y + 12}" font-weight="bold">{workload}</text>')
        for row, of in zip(rows, parts):
            if row["workload"] != workload:
                continue
            x = LEFT
            for seconds, color in of.values():
                length = max(0.5, (WIDTH - LEFT - 220) * seconds / most)
                drawn.append(f'<rect x="{x:.1f}" y="{y}" width="{length:.1f}" height="{BAR - 3}" fill="{color}"/>')
                x += length
            drawn.append(f'<text x="{x + 6:.1f}" y="{y + 11}">{row["wall"]:.1f} s, {row["builder"]}</text>')
            y += BAR
        y += 14
    return "\n".join(drawn + ["</svg>\n"])
