#!/bin/bash
# Makes a Debian trixie root with the clients that reach a vhost-user-blk socket through libblkio (qemu-img,
# qemu-io, nbdkit) and with qemu-storage-daemon, and prints its path. Packages are unpacked, not configured: ten
# seconds, nothing runs inside, nothing is mounted. The root is cached under $XDG_CACHE_HOME/vloop, named after this
# file's hash; it appears by a rename, so an interrupted run leaves nothing that a later run would trust.
# With --compiler the root also holds gcc and libblkio's header, for our own clients, and fio, for the benchmark.
# Exit status: 0 the path is on standard output; 2 it cannot be made here (one line on standard error says why).
set -euo pipefail

suite=trixie
mirror=${VLOOP_DEBIAN_MIRROR:-http://deb.debian.org/debian}
packages=base-files,coreutils,dash,libblkio1,libnbd-bin,nbdkit,qemu-block-extra,qemu-system-common,qemu-utils
flavour=clients
if [ "${1:-}" = --compiler ]; then
  flavour=compiler
  packages+=,fio,gcc,libblkio-dev,libc6-dev
fi

cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/vloop
root=$cache/$suite-$flavour-$(sha256sum "${BASH_SOURCE[0]}" | cut -c1-12)
building=$cache/.building-$suite

refuse() {
  echo "trixie.sh: $*" >&2
  exit 2
}

install_mmdebstrap() {
  command -v mmdebstrap >/dev/null && return
  [ "$(id -u)" = 0 ] || refuse 'mmdebstrap is not installed (apt-get install mmdebstrap uidmap)'
  command -v apt-get >/dev/null || refuse 'neither mmdebstrap nor apt-get is here'
  local apt=(timeout 300 apt-get -qq -o DPkg::Lock::Timeout=120)
  { DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y --no-install-recommends mmdebstrap ||
    { "${apt[@]}" update &&
      DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y --no-install-recommends mmdebstrap; }
  } >"$log" 2>&1 || refuse "apt-get cannot install mmdebstrap: $(last_words)"
}

last_words() {
  { grep -m 1 'Failed to fetch' "$log" || grep -m 1 -E '^(E:|Err)|rror' "$log" || tail -n 1 "$log"; } |
    cut -c1-200
}

build_mode() {
  if [ "$(id -u)" = 0 ]; then
    echo root
  elif unshare --map-root-user --mount true 2>/dev/null && command -v newuidmap >/dev/null; then
    echo unshare
  else
    refuse 'not root, and no user namespaces (sysctl kernel.unprivileged_userns_clone, package uidmap)'
  fi
}

# Files of a root made in a user namespace belong to ids that only such a namespace may remove.
remove_tree() {
  [ -e "$1" ] || return 0
  rm -rf --one-file-system "$1" 2>/dev/null ||
    mmdebstrap --unshare-helper rm -rf --one-file-system "$1" 2>/dev/null ||
    refuse "cannot remove $1"
}

[ -d "$root" ] && { echo "$root"; exit 0; }
mkdir -p "$cache" || refuse "cannot make $cache"
exec 9>"$cache/$suite.lock"
flock --timeout 600 9 || refuse "another build holds $cache/$suite.lock for ten minutes"
[ -d "$root" ] && { echo "$root"; exit 0; }

log=$(mktemp)
trap 'rm -f "$log"; remove_tree "$building"' EXIT
trap 'exit 130' INT TERM HUP
install_mmdebstrap
mode=$(build_mode)
remove_tree "$building"
echo "trixie.sh: unpacking Debian $suite into $root" >&2
timeout 600 mmdebstrap --mode="$mode" --variant=extract --include="$packages" --format=directory \
  --aptopt='APT::Install-Recommends "false"' "$suite" "$building" "$mirror" >"$log" 2>&1 ||
  refuse "mmdebstrap failed: $(last_words)"
[ -x "$building/usr/bin/qemu-img" ] || refuse 'the root has no qemu-img'
grep -q " $building/" /proc/self/mounts && refuse "mmdebstrap left mounts under $building"
mv -T "$building" "$root"
echo "$root"
