#!/usr/bin/env python3
"""Makes a base image as an OCI layout (tag "latest"), for the demo and the tests.

    make-base.py busybox LAYOUT        a small system around the machine's static busybox: two layers, every kind of entry
    make-base.py debian LAYOUT         Debian's minimal bookworm, from the mirror that apt is configured with
    make-base.py files:N LAYOUT        busybox and N small files below /files, the same for the same N
    make-base.py names:N LAYOUT        busybox and N names below /names, of one file in a hundred names

A layout that an earlier run of this same script made is left as it is. It appears at once or not at all.
Layers are written by hand, not by the program under test; the readers (skopeo, umoci) are independent of both.
"""

import fcntl
import gzip
import hashlib
import io
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile

EPOCH = 1_600_000_000
BUSYBOX = "/bin/busybox"
SUITE = "bookworm"


def member(name, kind, mode, **fields):
    """A tar header with fixed owner and time unless told otherwise."""
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = kind, mode, EPOCH
    for field, value in fields.items():
        setattr(info, field, value)
    return info


class Layer:
    """A gzip-compressed tar under construction, in a file."""

    def __init__(self, path):
        self.path = path
        self.raw = open(path, "wb")
        self.zip = gzip.GzipFile("", "wb", compresslevel=4, fileobj=self.raw, mtime=0)
        self.plain = hashlib.sha256()
        self.tar = tarfile.open(fileobj=self, mode="w|", format=tarfile.PAX_FORMAT)

    def write(self, data):
        self.plain.update(data)
        return self.zip.write(data)

    def dir(self, name, mode=0o755, **fields):
        self.tar.addfile(member(name, tarfile.DIRTYPE, mode, **fields))

    def file(self, name, data, mode=0o644, **fields):
        self.tar.addfile(member(name, tarfile.REGTYPE, mode, size=len(data), **fields), io.BytesIO(data))

    def link(self, name, target):
        self.tar.addfile(member(name, tarfile.SYMTYPE, 0o777, linkname=target))

    def node(self, name, kind, mode, **fields):
        self.tar.addfile(member(name, kind, mode, **fields))

    def close(self):
        self.tar.close()
        self.zip.close()
        self.raw.close()
        return self.path, "sha256:" + self.plain.hexdigest()


def busybox_layer(path):
    """The system itself, and one entry of every kind that a layer can hold."""
    layer = Layer(path)
    for name in "bin dev etc home opt opt/old proc root run sbin sys usr usr/bin usr/share usr/share/kinds var var/log".split():
        layer.dir(name, 0o700 if name == "root" else 0o755)
    layer.dir("tmp", 0o1777)
    layer.dir("var/tmp", 0o1777)
    layer.dir("home/user", 0o750, uid=1000, gid=1000)
    with open(BUSYBOX, "rb") as source:
        layer.file("bin/busybox", source.read(), 0o755)
    applets = subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True).stdout.split()
    for name in applets:
        if name != "busybox":
            layer.link("bin/" + name, "busybox")
    layer.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")
    layer.file("etc/group", b"root:x:0:\nuser:x:1000:\nextra:x:2000:user\nwheel:x:10:user\n")
    layer.file("etc/motd", b"welcome to the base\n")
    layer.file("etc/obsolete", b"hidden by the second layer\n")
    layer.file("opt/old/one", b"1\n")
    layer.file("opt/old/two", b"2\n")
    kinds = "usr/share/kinds/"
    layer.file(kinds + "setuid", b"#!/bin/sh\n", 0o4755)
    layer.file(kinds + "first", b"two names, one file\n", 0o640, uid=12, gid=34)
    layer.node(kinds + "second", tarfile.LNKTYPE, 0o640, uid=12, gid=34, linkname=kinds + "first")
    layer.link(kinds + "dangling", "../no/such/file")
    layer.link(kinds + "absolute", "/etc/motd")
    layer.node(kinds + "fifo", tarfile.FIFOTYPE, 0o600)
    layer.node(kinds + "null", tarfile.CHRTYPE, 0o666, devmajor=1, devminor=3)
    layer.file(kinds + "xattr", b"x\n", pax_headers={"SCHILY.xattr.user.note": "kept"})
    layer.file(kinds + "l" * 120 + "/" + "n" * 120, b"a name longer than a plain header holds\n")
    layer.file(kinds + "old", b"before 1970\n", mtime=-86400)
    return layer.close()


def whiteout_layer(path):
    """Hides a file of the layer below and replaces the content of a directory: both kinds of whiteouts."""
    layer = Layer(path)
    layer.dir("etc")
    layer.file("etc/.wh.obsolete", b"", 0)
    layer.dir("opt")
    layer.dir("opt/old")
    layer.file("opt/old/.wh..wh..opq", b"", 0)
    layer.file("opt/old/three", b"3\n")
    return layer.close()


def files_layer(path, count):
    """`count` files of 0 to 200 bytes, a hundred a directory, fifty directories a parent."""
    layer, chance = Layer(path), random.Random(count)
    layer.dir("files")
    for number in range(count):
        parent, folder = f"files/p{number // 5000:03}", f"files/p{number // 5000:03}/d{number // 100:05}"
        if number % 5000 == 0:
            layer.dir(parent)
        if number % 100 == 0:
            layer.dir(folder)
        layer.file(f"{folder}/f{number:06}", chance.randbytes(chance.randrange(200)), mtime=EPOCH + number)
    return layer.close()


def names_layer(path, count):
    """`count` names, a hundred a directory, of one file in each directory: a large tree that is made in little time."""
    layer = Layer(path)
    layer.dir("names")
    for number in range(count):
        folder = f"names/d{number // 100:05}"
        if number % 100 == 0:
            layer.dir(folder)
            layer.file(f"{folder}/first", b"one file\n")
        else:
            layer.node(f"{folder}/n{number:06}", tarfile.LNKTYPE, 0o644, linkname=f"{folder}/first")
    return layer.close()


def mirror():
    """Where apt gets Debian from on this machine."""
    filters = ["Created-By: Packages", "Origin: Debian", "Label: Debian", "Component: main"]
    ask = ["apt-get", "indextargets", "--format", "$(REPO_URI)", *filters]
    for attempt in range(2):
        places = subprocess.run(ask, check=True, capture_output=True, text=True).stdout.split()
        if places:
            return places[0]
        if attempt == 0:  # apt answers from its lists, which a fresh machine does not have yet
            subprocess.run(["apt-get", "-qq", "update"], check=True)
    sys.exit("make-base.py: apt has no source for Debian on this machine")


def debian_layer(path, work):
    """Debian's minimal system, packed by GNU tar."""
    tree = work / "tree"
    log = work / "debootstrap.log"
    with open(log, "wb") as out:
        done = subprocess.run(["debootstrap", "--variant=minbase", SUITE, tree, mirror()], stdout=out, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(log.read_text(errors="replace")[-4000:] + "\nmake-base.py: debootstrap failed")
    for package in (tree / "var/cache/apt/archives").glob("*.deb"):
        package.unlink()
    shutil.rmtree(tree / "var/lib/apt/lists")
    tar = ["tar", "-C", tree, "--numeric-owner", "--sort=name", "--xattrs", "--xattrs-include=*", "-c", "."]
    layer = Layer(path)
    with subprocess.Popen(tar, stdout=subprocess.PIPE) as packer:
        shutil.copyfileobj(packer.stdout, layer, 1 << 20)
    if packer.returncode:
        sys.exit("make-base.py: tar failed")
    layer.zip.close()
    layer.raw.close()
    return path, "sha256:" + layer.plain.hexdigest()


def put_blob(layout, source):
    """Moves a file, or writes bytes, into the layout under its digest."""
    data = source if isinstance(source, bytes) else pathlib.Path(source).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs/sha256").mkdir(parents=True, exist_ok=True)
    (layout / "blobs/sha256" / digest).write_bytes(data)
    return {"digest": "sha256:" + digest, "size": len(data)}


def write_layout(layout, layers, settings):
    """Ties layers and image configuration together."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    config = {"created": "2020-09-13T12:26:40Z", "architecture": machine, "os": "linux", "config": settings,
              "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in layers]},
              "history": [{"created": "2020-09-13T12:26:40Z", "created_by": "make-base"} for _ in layers]}
    oci = "application/vnd.oci.image."
    manifest = {"schemaVersion": 2, "mediaType": oci + "manifest.v1+json",
                "config": {"mediaType": oci + "config.v1+json", **put_blob(layout, json.dumps(config).encode())},
                "layers": [{"mediaType": oci + "layer.v1.tar+gzip", **put_blob(layout, path)} for path, _ in layers]}
    entry = {"mediaType": oci + "manifest.v1+json", **put_blob(layout, json.dumps(manifest).encode()),
             "annotations": {"org.opencontainers.image.ref.name": "latest"}}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def make(kind, layout, work):
    """Builds one kind of base below `work` as `layout`."""
    settings = {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["/bin/sh"]}
    if kind == "busybox":
        layers = [busybox_layer(work / "0"), whiteout_layer(work / "1")]
    elif kind == "debian":
        layers = [debian_layer(work / "0", work)]
    elif kind.startswith("files:"):
        layers = [busybox_layer(work / "0"), files_layer(work / "1", int(kind.removeprefix("files:")))]
    elif kind.startswith("names:"):
        layers = [busybox_layer(work / "0"), names_layer(work / "1", int(kind.removeprefix("names:")))]
    else:
        sys.exit(__doc__)
    write_layout(layout, layers, settings)


def main(kind, target):
    target = pathlib.Path(target).absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    stamp, version = target.with_name(target.name + ".made-by"), hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest()
    with open(target.with_name(target.name + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir() and stamp.exists() and stamp.read_text() == version:
            return
        with tempfile.TemporaryDirectory(dir=target.parent) as work:
            work = pathlib.Path(work)
            make(kind, work / "layout", work)
            shutil.rmtree(target, ignore_errors=True)
            (work / "layout").rename(target)
        stamp.write_text(version)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
