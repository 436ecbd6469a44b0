#!/usr/bin/env bash
# Lays out the root of the executor's image: the build context of images/Dockerfile.
# usage: image-root.sh EXECUTOR DIR [WARMER]     DIR is made anew; with WARMER it is an image for that too: `--entrypoint /kaniko/warmer`
set -euo pipefail

executor=$1 root=$2
rm -rf "$root"
# The paths of kaniko's image; .docker is there since jobs write a config.json without making it. Not for all to write, as it
# is there: a step that is not root must not leave a program or a credential in it.
install -d -m 755 "$root" "$root/workspace" "$root/kaniko" "$root/kaniko/.docker" "$root/kaniko/ssl" "$root/kaniko/ssl/certs"
install -m 755 "$executor" "$root/kaniko/executor"
if [[ -n ${3-} ]]; then install -m 755 "$3" "$root/kaniko/warmer"; fi
install -m 644 /etc/ssl/certs/ca-certificates.crt "$root/kaniko/ssl/certs/"
