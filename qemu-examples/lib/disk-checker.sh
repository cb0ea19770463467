#!/usr/bin/env bash
# Builds disk-checker, a static program that runs on any Linux of this architecture, and prints
# its directory: disk-checker itself, and disk-checker.cpio, to be appended to guest.cpio (it is
# /bin/disk-checker there). Kept in ${XDG_CACHE_HOME:-~/.cache}/vloop by a hash of its sources.
set -euo pipefail
lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$lib/say.sh"
source "$lib/packages.sh"
source "$lib/initramfs.sh"

sources=("$lib"/../disk-checker/*.[ch])
hash=$(cat "${sources[@]}" "$lib/disk-checker.sh" | sha256sum)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vloop
ready=$cache/disk-checker-${hash:0:12}
if [[ ! -d $ready ]]; then
  packages_install cc=gcc >&2
  # No command tells whether the static C library is there: the name is one that never is.
  [[ -e $(cc -print-file-name=libc.a) ]] || packages_install static-libc=libc6-dev >&2
  base=$("$lib/assets.sh" base)
  mkdir -p "$cache"
  # Two builders at once make the same: the first to be done wins.
  build=$(mktemp -d "$cache/.checker-XXXXXX")
  trap 'rm -rf "$build"' EXIT
  mkdir -p "$build/root/bin" "$build/out"
  cc -O2 -Wall -Wextra -Werror -static -pthread -o "$build/out/disk-checker" "$lib"/../disk-checker/*.c ||
    stop 'disk-checker does not compile here'
  install -m 755 "$build/out/disk-checker" "$build/root/bin/"
  pack_cpio "$build/root" "$build/out/disk-checker.cpio" "$base/busybox"
  mv -T "$build/out" "$ready" 2>/dev/null || [[ -d $ready ]]
  # Left by builds that were killed; this one has taken minutes.
  find "$cache" -maxdepth 1 -name '.checker-*' -mmin +60 -exec rm -rf {} +
  find "$cache" -maxdepth 1 -name 'disk-checker-*' -mtime +14 -exec rm -rf {} +
fi
touch "$ready"
echo "$ready"
