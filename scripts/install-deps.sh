#!/usr/bin/env bash
# Installs what the build, the demo and the tests use, from Debian by name, and only what is missing.
# Rust itself is not among it: rustup or the machine provides it.
# usage: install-deps.sh [PACKAGE...]     these instead, for what only the benches need
set -euo pipefail

packages=(
    ca-certificates gcc git libc6-dev make                # to compile
    busybox-static debootstrap debian-archive-keyring     # base images
    python3 wget xz-utils bzip2 zstd                      # to make them, and archives
    docker-registry nginx-light fcgiwrap openssl skopeo umoci buildah  # an independent registry, readers and writers
    podman runc catatonit                                 # a container engine
    golang-github-containers-common                       # its seccomp profile
    openssh-client                                        # an SSH agent
    e2fsprogs xfsprogs btrfs-progs util-linux mount       # file systems
    attr bsdutils jq libcap2-bin procps shellcheck strace time     # looking at the results
)

if (($#)); then
    packages=("$@")
fi
missing=()
for package in "${packages[@]}"; do
    if [[ $(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null) != installed ]]; then
        missing+=("$package")
    fi
done

if ((${#missing[@]})); then
    if ((EUID != 0)); then
        echo "install-deps: these packages are missing, and installing them needs root: ${missing[*]}" >&2
        exit 1
    fi
    echo "install-deps: ${missing[*]}"
    # No service is started: the tests start their own, on free ports.
    policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    apt-get -qq install --yes --no-install-recommends "${missing[@]}" >/dev/null
fi

if ! command -v cargo >/dev/null; then
    echo "install-deps: cargo is missing; install Rust 1.95 or newer (rustup or your distribution)" >&2
    exit 1
fi
