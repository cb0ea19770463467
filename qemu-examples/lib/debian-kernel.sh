#!/usr/bin/env bash
# Prints a directory with the cloud kernel of this Debian release as its package has it: boot/vmlinuz-VERSION and all its
# modules in lib/modules/VERSION (or usr/lib), for whoever wants a real kernel with modules (fs-tests --kernel, --modules).
# Kept in ${XDG_CACHE_HOME:-~/.cache}/vloop by the package's name; appears by a rename.
set -euo pipefail
lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$lib/say.sh"
source "$lib/packages.sh"
source "$lib/initramfs.sh"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/vloop
kernel=$(cloud_kernel)
if [[ -z $kernel ]]; then
  packages_refresh
  kernel=$(cloud_kernel)
fi
[[ -n $kernel ]] || stop 'no cloud kernel in the package lists (linux-image-cloud-amd64)'
ready=$cache/debian-$kernel
if [[ ! -d $ready ]]; then
  mkdir -p "$cache"
  build=$(mktemp -d "$cache/.debian-XXXXXX")
  trap 'rm -rf "$build"' EXIT
  packages_unpack "$build/out" "$kernel"
  mv -T "$build/out" "$ready" 2>/dev/null || [[ -d $ready ]] || stop "cannot make $ready"
fi
echo "$ready"
