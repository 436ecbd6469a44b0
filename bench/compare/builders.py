"""The programs that are compared: each builds a context, cold, from a registry on loopback, and pushes to it."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import time

from ground import call, high_water


def said(*command):
    """What a program prints."""
    return call(*command, capture_output=True, text=True).stdout.strip()


class Executor:
    """A program with kaniko's command line, in one snapshot mode."""

    def __init__(self, name, executor, mode):
        self.executor, self.mode = executor, mode
        self.name = f"{name} {mode}"

    def version(self):
        return said(self.executor, "version")

    def phases(self, disk):
        """What is known of the parts of a build."""
        return {}


class Silt(Executor):
    """Silt, below a build root."""

    @contextlib.contextmanager
    def ready(self, disk, group):
        def build(context, base, to, *flags):
            figures = {**os.environ, "BENCHMARK_FILE": f"{disk}/figures.json"}
            return group.run([self.executor, f"--context={context}", f"--build-root={disk}/build", f"--build-arg=BASE={base}",
                              f"--destination={to}", f"--snapshot-mode={self.mode}", "--verbosity=warn", "--warn-compat=false", *flags], env=figures)
        yield build

    def phases(self, disk):
        """Seconds of each phase of the build that just ended. Those that overlap count each for itself."""
        figures = json.loads((disk / "figures.json").read_text())
        of_steps = lambda *names: sum(step[name] for step in figures["steps"] for name in names) / 1e9
        total = lambda name: figures["totals"][name] / 1e9
        return {"pull": total("pull_ns"), "unpack": total("unpack_ns"), "steps": of_steps("execute_ns"),
                "look": of_steps("record_ns", "diff_ns"), "write layers": of_steps("layer_ns"), "push": total("push_ns")}


class Buildah:
    """buildah over overlay, in chroot isolation, one layer for each instruction."""

    name = "buildah"

    def version(self):
        return said("buildah", "--version")

    @contextlib.contextmanager
    def ready(self, disk, group):
        start = ["buildah", "--root", disk / "store", "--runroot", disk / "run", "--storage-driver", "overlay"]

        def build(context, base, to):
            policy = disk / "policy.json"
            policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
            options = ["--signature-policy", policy, "--tls-verify=false"]
            peak = group.run([*start, "bud", *options, "--layers", "--isolation=chroot", "--build-arg", f"BASE={base}", "-t", to, context])
            return max(peak, group.run([*start, "push", *options, to]))
        yield build
        call(*start, "umount", "--all", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        subprocess.run(["umount", disk / "store/overlay"], stderr=subprocess.DEVNULL)


class BuildKit:
    """The BuildKit inside Debian's dockerd. The daemon is started before the clock is."""

    name = "dockerd's BuildKit"

    def version(self):
        return said("/usr/bin/docker", "--version")

    @contextlib.contextmanager
    def ready(self, disk, group):
        socket = f"unix://{disk}/docker.sock"
        daemon = group.start(["dockerd", "--iptables=false", "--bridge=none", f"--data-root={disk}/data", f"--exec-root={disk}/exec",
                              f"--pidfile={disk}/pid", f"--host={socket}", f"--cgroup-parent=/{group.name}"],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        docker = ["/usr/bin/docker", "--host", socket]
        try:
            self.wait(docker)

            def build(context, base, to):
                settings = {**os.environ, "DOCKER_BUILDKIT": "1", "HOME": str(disk)}
                group.run([*docker, "build", "--network=host", "--progress=plain", f"--build-arg=BASE={base}", "-t", to, context], env=settings)
                group.run([*docker, "push", "--quiet", to], env=settings)
                return high_water(group.processes())
            yield build
        finally:
            daemon.terminate()
            daemon.wait()

    @staticmethod
    def wait(docker):
        for _ in range(100):
            if subprocess.run([*docker, "version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
                return
            time.sleep(0.2)
        raise SystemExit("bench: dockerd does not start")


class Kaniko(Executor):
    """kaniko in a chroot."""

    @contextlib.contextmanager
    def ready(self, disk, group):
        root = disk / "root"
        for name in ["kaniko", "proc", "dev", "etc", "workspace"]:
            (root / name).mkdir(parents=True)
        shutil.copy(self.executor, root / "kaniko/executor")
        script = ('mount --bind "$1" "$1"; mount -t proc proc "$1/proc"; mount --bind /dev "$1/dev"; mount --bind "$2" "$1/workspace"; cd "$1"; '
                  'shift 2; exec chroot . "$@"')

        def build(context, base, to, *flags):
            return group.run(["unshare", "--mount", "sh", "-euc", script, "sh", root, context, "/kaniko/executor", "--force",
                              "--insecure", "--insecure-pull", "--context=dir:///workspace", f"--build-arg=BASE={base}",
                              f"--destination={to}", f"--snapshot-mode={self.mode}", *flags])
        yield build


def present(executor):
    """All that this machine has; what is left out is said."""
    found = [Silt("silt", executor, "events"), Silt("silt", executor, "full")]
    if shutil.which("buildah"):
        found.append(Buildah())
    else:
        print("buildah: left out, it is not installed")
    if shutil.which("dockerd") and pathlib.Path("/usr/bin/docker").exists():
        found.append(BuildKit())
    else:
        print("dockerd's BuildKit: left out, docker.io is not installed")
    kaniko = os.environ.get("KANIKO_EXECUTOR")
    if kaniko:
        found += [Kaniko("kaniko", kaniko, "full"), Kaniko("kaniko", kaniko, "redo")]
    else:
        print("kaniko: left out, since KANIKO_EXECUTOR is not set")
    return found
