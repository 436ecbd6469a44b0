"""What is built: contexts and base images, the same for the same seed. Sizes of files are log-normal, contents compress like text."""

import os
import pathlib
import random
import tempfile

from ground import TOP, call

CACHE = TOP / "target/bench"
FILES = int(os.environ.get("BENCH_FILES", 200_000))
WORDS = 4096


class Workload:
    """One Dockerfile, the base image that it starts from, and the room that it needs. If it is `cached`, an earlier build with another value of
    LAST left all that does not depend on it in a cache."""

    def __init__(self, name, base, steps, fill=lambda context: None, gigabytes=8, cached=False):
        self.name, self.base, self.steps, self.fill, self.gigabytes, self.cached = name, base, steps, fill, gigabytes, cached

    def flags(self, address, number):
        """Further flags of the executor, where the registry has this address."""
        return ["--cache", f"--cache-repo={address}/{self.name}/cache", f"--build-arg=LAST={number}"] if self.cached else []

    def context(self):
        """The directory of the context, made once."""
        context = CACHE / f"{self.name}-{FILES}"
        if not (context / "Dockerfile").exists():
            context.mkdir(parents=True, exist_ok=True)
            self.fill(context)
            (context / "Dockerfile").write_text("ARG BASE\nFROM $BASE\n" + "".join(step + "\n" for step in self.steps))
        return context


def text(chance, length, vocabulary):
    """So many bytes that look like source text to a compressor."""
    words = chance.choices(vocabulary, k=length // 6 + 1)
    return b" ".join(words)[:length]


def sizes(chance, count):
    """Log-normal: the median is 1.5 kB, the mean 5 kB, as in a source tree."""
    return (min(int(chance.lognormvariate(7.3, 1.5)), 4 << 20) for _ in range(count))


def tree(top, count, seed):
    """A tree of so many files, ten in a directory."""
    chance = random.Random(seed)
    vocabulary = [bytes(chance.choices(b"abcdefghijklmnopqrstuvwxyz_", k=chance.randrange(2, 10))) for _ in range(WORDS)]
    for number, size in enumerate(sizes(chance, count)):
        folder = top / f"p{number // 1000:03}/d{number // 10:05}"
        if number % 10 == 0:
            folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{number:06}").write_bytes(text(chance, size, vocabulary))


def large_base(layout):
    """Debian with a tree of files on top, as an OCI layout; made once."""
    if layout.exists():
        return layout
    debian, part = base("debian"), layout.with_suffix(".part")
    call("rm", "-rf", part)
    call("cp", "-r", debian, part)
    work = CACHE / "large-base"
    tree(work / "srv", FILES, 1)
    call("tar", "-C", work, "--owner=0", "--group=0", "-cf", CACHE / "large.tar", "srv")
    call("umoci", "raw", "add-layer", "--image", f"{part}:latest", CACHE / "large.tar")
    call("rm", "-rf", work, CACHE / "large.tar")
    part.rename(layout)
    return layout


def base(kind):
    """The layout of a base image."""
    layout = CACHE / f"base-{kind}"
    if kind == "large":
        return large_base(CACHE / f"base-large-{FILES}")
    call(TOP / "scripts/make-base.py", kind, layout)
    return layout


def archive(context):
    """tree.tar: a quarter of the files."""
    tree(context / "tree", FILES // 4, 2)
    call("tar", "-C", context, "-cf", context / "tree.tar", "tree")
    call("rm", "-rf", context / "tree")


def packages(context):
    """What gcc, git and python3.11 need that the base has not: some sixty packages of Debian, as files."""
    (context / "debs/partial").mkdir(parents=True)
    with tempfile.TemporaryDirectory() as work:
        call("umoci", "raw", "unpack", "--image", f"{base('debian')}:latest", f"{work}/tree")
        call("apt-get", "-qq", "install", "--yes", "--no-install-recommends", "--download-only", "-o", "APT::Sandbox::User=root",
             "-o", f"Dir::State::status={work}/tree/var/lib/dpkg/status", "-o", f"Dir::Cache::archives={context}/debs", "gcc", "git", "python3.11")
    for rest in ["partial", "lock"]:
        call("rm", "-rf", context / "debs" / rest)


def big(context):
    """A file of two gigabytes: half of it text, half of it noise."""
    chance = random.Random(3)
    vocabulary = [chance.randbytes(chance.randrange(2, 10)).hex().encode() for _ in range(WORDS)]
    with open(context / "big", "wb") as out:
        for _ in range(128):
            out.write(text(chance, 8 << 20, vocabulary))
            out.write(chance.randbytes(8 << 20))


def noise(top, amount):
    """Files of 4 MiB that no compressor makes smaller."""
    chance = random.Random(6)
    top.mkdir(parents=True)
    for number in range(amount >> 22):
        (top / f"n{number}").write_bytes(chance.randbytes(4 << 20))


ALL = [
    Workload("ten-runs", "large", [f"RUN echo {number} > /file_{number}" for number in range(10)], gigabytes=12),
    Workload("nine-cached", "large", [f"RUN echo {number} > /file_{number}" for number in range(9)] + ["ARG LAST", "RUN echo $LAST > /last"],
             gigabytes=12, cached=True),
    Workload("change-a-lot", "debian", ["COPY tree.tar /", "RUN mkdir /t && tar -xf /tree.tar -C /t", "RUN cp -a /t/tree /copy",
                                        "RUN rm -rf /t", "RUN chmod -R g+w /copy"], archive, gigabytes=10),
    Workload("copy", "debian", ["COPY tree /tree"], lambda context: tree(context / "tree", FILES, 4), gigabytes=12),
    Workload("dpkg", "debian", ["COPY debs /debs", "RUN dpkg -i /debs/*.deb > /log 2>&1"], packages),
    Workload("debian", "debian", ["RUN echo hello > /hello"]),
    Workload("big-layer", "debian", ["COPY big /big"], big, gigabytes=10),
]
