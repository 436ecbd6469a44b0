"""What every run stands on: a new file system in memory, a registry on loopback, and the account of what a command used."""

import contextlib
import dataclasses
import os
import pathlib
import subprocess
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
MEMORY = os.environ.get("BENCH_DIR", "/dev/shm")


def call(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, **options)


@contextlib.contextmanager
def file_system(size, inodes):
    """A new ext4 of so many bytes on a loop device whose image lies in memory, mounted; its directory. On an ext4 without a journal, creating files after
    a large delete is several times slower, so no run takes over what another left."""
    with tempfile.TemporaryDirectory(prefix="bench.", dir=MEMORY) as work:
        image, place = pathlib.Path(work) / "image", pathlib.Path(work) / "mounted"
        with open(image, "wb") as out:
            out.truncate(size)
        call("mkfs.ext4", "-q", "-F", "-N", inodes, image)
        place.mkdir()
        call("mount", "-o", "loop", image, place)
        try:
            yield place
        finally:
            call("umount", place)


@contextlib.contextmanager
def registry(store):
    """docker-registry on loopback over `store`; its address."""
    address = f"127.0.0.1:{20_000 + os.getpid() % 10_000}"
    config = pathlib.Path(store) / "config.yml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {store}/data}}}}\n"
                      f"http: {{addr: \"{address}\"}}\n")
    server = subprocess.Popen(["docker-registry", "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(2)
    try:
        yield address
    finally:
        server.kill()
        server.wait()


@dataclasses.dataclass
class Used:
    """What a command and all that it started used."""

    wall: float  # seconds
    cpu: float  # seconds, user and system
    peak: float  # megabytes: the largest resident set of one process

    @staticmethod
    def by(run, group):
        """Calls `run`, whose processes are in the control group."""
        before, since = group.cpu(), time.monotonic()
        peak = run()
        return Used(time.monotonic() - since, group.cpu() - before, peak)


class Group:
    """A control group of version 1 or 2 whose account of processor time takes in whatever is started in it."""

    def __init__(self, name="silt-bench"):
        one, two = pathlib.Path("/sys/fs/cgroup/cpuacct"), pathlib.Path("/sys/fs/cgroup")
        self.name, self.dir = name, (one if one.is_dir() else two) / name
        self.dir.mkdir(exist_ok=True)

    def close(self):
        """Removes the group and what engines made in it; their programs are gone."""
        for path in sorted(self.dir.rglob("*/"), reverse=True):
            path.rmdir()
        self.dir.rmdir()

    def cpu(self):
        """Seconds so far."""
        usage = self.dir / "cpuacct.usage"
        if usage.exists():
            return int(usage.read_text()) / 1e9
        stat = dict(line.split() for line in (self.dir / "cpu.stat").read_text().splitlines())
        return int(stat["usage_usec"]) / 1e6

    def start(self, command, **options):
        """Starts a command in the group."""
        enter = ["sh", "-c", 'echo 0 > "$0"; exec "$@"', str(self.dir / "cgroup.procs")]
        return subprocess.Popen(enter + [str(part) for part in command], **options)

    def run(self, command, **options):
        """Runs one to its end; its peak in megabytes, that of the largest of its processes."""
        log = tempfile.TemporaryFile()
        child = self.start(command, stdout=log, stderr=subprocess.STDOUT, **options)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            log.seek(0)
            raise SystemExit(log.read().decode(errors="replace")[-4000:] + f"\nbench: {command[0]} ended with {child.returncode}")
        return usage.ru_maxrss / 1000

    def processes(self):
        return [int(pid) for path in [self.dir, *self.dir.rglob("*/")] for pid in (path / "cgroup.procs").read_text().split()]


def high_water(pids):
    """The largest resident set so far of any of these processes, in megabytes; proc_pid_status(5)."""
    def of(pid):
        try:
            text = pathlib.Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return 0
        return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM")), 0)
    return max(map(of, pids), default=0) * 1024 / 1e6
