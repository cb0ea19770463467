#!/usr/bin/env bash
# Builds what a guest is made of, from Debian packages, and prints the directory:
#   assets.sh base   vmlinuz and guest.cpio: busybox, ext4 and xfs tools, virtio modules
#   assets.sh fio    fio.cpio: fio and its libraries, to be appended to guest.cpio
#   assets.sh kexec  kexec.cpio: kexec, to be appended likewise
#   assets.sh crypt  crypt.cpio: cryptsetup, to be appended likewise
#   assets.sh boot   boot.img: a disk that boots under SeaBIOS and OVMF; OVMF.fd
# Kept in ${XDG_CACHE_HOME:-~/.cache}/vloop by a hash of the recipe; a changed recipe builds anew.
set -euo pipefail
lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PATH=$PATH:/usr/sbin:/sbin
source "$lib/say.sh"
source "$lib/packages.sh"
source "$lib/initramfs.sh"
source "$lib/boot-image.sh"

part=${1:-}
[[ $part =~ ^(base|fio|kexec|crypt|boot)$ ]] || stop 'usage: assets.sh base|fio|kexec|crypt|boot'
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vloop
sources=("$lib"/{assets,packages,initramfs,boot-image,guest-init}.sh /etc/os-release)
recipe=$(cat "${sources[@]}" | sha256sum)
ready=$cache/$part-${recipe:0:12}

# Two builders at once (a test run and an example) wait for each other here.
mkdir -p "$cache"
exec 9>"$cache/.lock"
take_lock() {
  flock -w 600 9 || stop "another build has held $cache/.lock for ten minutes"
}
take_lock
if [[ ! -d $ready && $part != base ]]; then
  base=$(flock -u 9 && "$lib/assets.sh" base)
  take_lock
fi
# Another builder may have had the lock since the last look.
if [[ ! -d $ready ]]; then
  say_step "Building the guest's $part files (once; kept in $cache)" >&2
  # Nobody else builds while the lock is held: what is there was left by a build that was killed.
  rm -rf "$cache"/.build-*
  # Built aside and renamed when complete, so that an interrupted build leaves nothing half done.
  build=$(mktemp -d "$cache/.build-XXXXXX")
  trap 'rm -rf "$build"' EXIT
  mkdir "$build/out"
  "build_$part" "$build" "$build/out" "${base:-}"
  mv -T "$build/out" "$ready"
  find "$cache" -maxdepth 1 -name "$part-*" -mtime +14 -exec rm -rf {} +
fi
touch "$ready"
echo "$ready"
