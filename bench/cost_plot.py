"""The table and the plot of bench/results/cost.json: both axes logarithmic, one line a mode, no library."""

import json
import math

COLORS = ["#1b7f4b", "#2c6fbb", "#c47f17", "#a33131", "#7d5ba6", "#4d4d4d", "#d46a9f", "#9a8c2f", "#5aa7a7"]
WIDTH, HEIGHT = 860, 500
LEFT, RIGHT, TOP, BOTTOM = 80, 215, 56, 60


def draw(results):
    """Writes cost.md and cost.svg beside cost.json."""
    document = json.loads((results / "cost.json").read_text())
    (results / "cost.md").write_text(table(document))
    (results / "cost.svg").write_text(plot(document["rows"]))


def number(value):
    """Three digits that count, or a dash."""
    if value is None:
        return "–"
    digits = max(0, 2 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{value:,.{digits}f}"


def table(document):
    head = """# What the snapshot of a small RUN costs, by size of the tree

One stage of RUNs that write one small file each, over a base of that many small files; ext4 on a loop device; {machine}.
A snapshot is everything between the end of the command and a finished layer. With directory watches the sweep at the end of the
stage is in the figures, a tenth of it in each RUN's; placing the watches, once, is not: 8–11 µs a directory. The machine had other
work, so processor time is what to compare; where builds are quick, the least of up to three counts. Made by `make cost`.

![processor time of a small RUN's snapshot against the number of files in the base](cost.svg)

| files | mode | RUNs | paths looked at, a RUN | sweeps | processor time a RUN, ms | wall clock a RUN, ms |
|---:|---|---:|---:|---:|---:|---:|
"""
    line = "| {files:,} | {name} | {runs} | {stats} | {sweeps} | {cpu} | {wall} |\n"
    rows = (line.format(**{key: row[key] for key in ("files", "name", "runs", "sweeps")}, cpu=number(row["cpu_ms"]),
                        stats="–" if row["stats"] is None else f"{row['stats']:,.0f}", wall=number(row["wall_ms"]))
            for row in document["rows"])
    return head.format(machine=document["machine"]) + "".join(rows)


class Axis:
    """From values to pixels, by their logarithms."""

    def __init__(self, least, most, start, end):
        self.low, self.high, self.start, self.end = math.log10(least), math.log10(most), start, end

    def __call__(self, value):
        return self.start + (math.log10(value) - self.low) / (self.high - self.low) * (self.end - self.start)


def text(x, y, content, more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{content}</text>'


def plot(rows):
    names = list(dict.fromkeys(row["name"] for row in rows))
    sizes = sorted({row["files"] for row in rows})
    powers = [math.log10(row["cpu_ms"]) for row in rows]
    low, high = math.floor(min(powers)), math.ceil(max(powers))
    across = Axis(sizes[0], sizes[-1], LEFT, WIDTH - RIGHT)
    up = Axis(10**low, 10**high, HEIGHT - BOTTOM, TOP)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
             text(LEFT, 24, "Processor time of a small RUN's snapshot", 'font-size="16" font-weight="bold"'),
             text(LEFT, 42, "with watches, a tenth of the sweep that a stage of ten RUNs ends with; both axes logarithmic", 'fill="#555555"')]
    parts += grid(sizes, across, up, range(low, high + 1))
    parts += [line(rows, name, color, across, up) for name, color in zip(names, COLORS)]
    parts += labels(rows, names, up)
    return "\n".join(parts + ["</svg>\n"])


def grid(sizes, across, up, powers):
    """Lines and their legends."""
    right = WIDTH - RIGHT
    for power in powers:
        y = up(10**power)
        legend = f"{10**power / 1000:g} s" if power >= 3 else f"{10**power:g} ms"
        yield f'<line x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>'
        yield text(LEFT - 8, y + 4, legend, 'text-anchor="end"')
    for size in sizes:
        x = across(size)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#eeeeee"/>'
        yield text(x, HEIGHT - BOTTOM + 20, f"{size:,}", 'text-anchor="middle"')
    yield text((LEFT + right) / 2, HEIGHT - 16, "files in the base image", 'text-anchor="middle" fill="#555555"')


def line(rows, name, color, across, up):
    points = [(across(row["files"]), up(row["cpu_ms"])) for row in rows if row["name"] == name]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{color}"/>' for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>{dots}'


def labels(rows, names, up):
    """The names at the right ends of their lines, moved apart where they would touch."""
    last = {row["name"]: row["cpu_ms"] for row in rows}
    places, floor = {}, TOP - 20
    for name in sorted(names, key=lambda name: up(last[name])):
        places[name] = floor = max(up(last[name]) + 4, floor + 17)
    return [text(WIDTH - RIGHT + 10, places[name], f"{name}, {human(last[name])}", f'fill="{color}"')
            for name, color in zip(names, COLORS)]


def human(millis):
    return f"{number(millis / 1000)} s" if millis >= 1000 else f"{number(millis)} ms"
