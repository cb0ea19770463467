#!/bin/bash
# Prints a directory with Debian's libvirt (QEMU driver, virsh) and what it needs beyond this machine's packages, only
# unpacked: nothing is installed and nothing runs. Kept in $XDG_CACHE_HOME/vloop, named after this file's hash; it
# appears by a rename. libvirt-enter.sh runs commands with it. Where it cannot be had the last line on standard error
# says why.
set -euo pipefail
lib=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../qemu-examples/lib" && pwd)
# shellcheck source=../../qemu-examples/lib/say.sh
. "$lib/say.sh"
# shellcheck source=../../qemu-examples/lib/packages.sh
. "$lib/packages.sh"

packages=(libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients)
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/vloop
tree=$cache/libvirt-$(cat "${BASH_SOURCE[0]}" /etc/os-release | sha256sum | cut -c1-12)

((EUID == 0)) || stop 'the QEMU driver is run in namespaces that only root can make'
packages_install qemu-system-x86_64=qemu-system-x86
mkdir -p "$cache"
exec 9>"$cache/libvirt.lock"
flock -w 600 9 || stop "another build has held $cache/libvirt.lock for ten minutes"
if [[ ! -d $tree ]]; then
  say_step "Unpacking Debian's libvirt (once; kept in $cache)" >&2
  build=$cache/.building-libvirt
  rm -rf "$build"
  trap 'rm -rf "$build"' EXIT
  # What apt-get would install is what the machine lacks.
  plan=(apt-get install -s --no-install-recommends "${packages[@]}")
  with_fresh_lists "${plan[@]}" || stop "Debian does not have ${packages[*]}"
  mapfile -t missing < <("${plan[@]}" | awk '/^Inst / {print $2}')
  ((${#missing[@]} == 0)) || packages_unpack "$build" "${missing[@]}"
  mkdir -p "$build/usr"
  # Debian 12's packages still have files in directories that are links into /usr on the machine.
  for linked in bin sbin lib lib64; do
    if [[ -d $build/$linked ]]; then cp -a "$build/$linked" "$build/usr/" && rm -r "${build:?}/$linked"; fi
  done
  mv -T "$build" "$tree"
fi
echo "$tree"
