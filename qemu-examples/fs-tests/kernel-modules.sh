#!/usr/bin/env bash
# What a kernel whose drivers are modules needs beside the guest's image, and prints the directory that holds it: modules.img
# (ext4, mounted over the guest's /usr/lib/modules) and initramfs.cpio (finds both disks and mounts them: kernel-init.sh).
#   kernel-modules.sh DIR VERSION     DIR: lib/modules/VERSION of that kernel
# Kept in ${XDG_CACHE_HOME:-~/.cache}/vloop by a hash of the files' names, sizes and times; appears by a rename. Exit status 3:
# cannot be built here, 2: these modules do not do; one line says why.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
lib=$here/../lib
export PATH=$PATH:/usr/sbin:/sbin
source "$lib/say.sh"
source "$lib/packages.sh"
source "$lib/initramfs.sh"

stop() {
  printf '%s\n' "$*" >&2
  exit 3
}

modules=$(realpath "$1") version=$2
# What the guest's root is reached through; the others are checksums that file systems ask the crypto layer for by name.
needed=(virtio_pci virtio_blk ext4)
wanted=("${needed[@]}" crc32c_generic crc32c_intel crc32c_cryptoapi)
# Of hardware that is not there; build and source lead out of the directory.
left_out=(build source kernel/sound kernel/net/{bluetooth,mac80211,wireless}
  kernel/drivers/{gpu,usb,infiniband,media,hid,input,net/ethernet,net/wireless})

cache=${XDG_CACHE_HOME:-$HOME/.cache}/vloop
recipe=$({
  cat "$here"/{kernel-modules,kernel-init}.sh "$lib/initramfs.sh"
  cd "$modules" && find . -type f -printf '%P %s %T@\n' | LC_ALL=C sort
} | sha256sum)
ready=$cache/modules-$version-${recipe:0:12}
if [[ -d $ready ]]; then
  touch "$ready"
  echo "$ready"
  exit
fi

mkdir -p "$cache" || stop "cannot make $cache"
build=$(mktemp -d "$cache/.modules-XXXXXX")
trap 'rm -rf "$build"' EXIT
trap 'exit 143' INT TERM HUP
printf 'Preparing the modules of Linux %s (once; kept in %s)\n' "$version" "$cache" >&2

# Releases of kmod differ in which of the two directories they look at.
into=$build/stage/usr/lib/modules/$version
mkdir -p "$into" "$build/out" "$build/initramfs"/{bin,modules,proc,sys,dev,root}
ln -s usr/lib "$build/stage/lib"
tar -C "$modules" "${left_out[@]/#/--exclude=./}" -cf - . | tar -C "$into" --no-same-owner -xf -

# Under TCG unpacking costs seconds each boot, and the initramfs has no program for it.
decompress() {
  local suffix=$1 command=$2
  shift
  [[ -n $(find "$into" -name "*.ko.$suffix" -print -quit) ]] || return 0
  packages_install "$command"
  find "$into" -name "*.ko.$suffix" -exec "${@:2}" {} +
}
decompress xz xz=xz-utils xz -d -T 0
decompress zst zstd=zstd zstd -q -d --rm
decompress gz gzip=gzip gzip -d

# Only unpacked: the machine itself needs neither.
packages_unpack "$build/debs" kmod libkmod2 busybox-static
busybox=$(find "$build/debs" -path '*bin/busybox' -print -quit)
# The package's own link leads to /bin/kmod of this machine.
ln -s "$(find "$build/debs" -path '*bin/kmod' -print -quit)" "$build/depmod"
LD_LIBRARY_PATH=$build/debs/usr/lib/x86_64-linux-gnu:$build/debs/lib/x86_64-linux-gnu \
  "$build/depmod" -b "$build/stage" "$version" || stop "depmod failed on $modules"

# module_line NAME: its line of modules.dep, whatever way its name is spelled.
module_line() { grep -m 1 -E "(^|/)${1//_/[-_]}\.ko:" "$into/modules.dep"; }

# put_in_order FILE…: what each needs comes first, each once.
declare -A put=()
put_in_order() {
  local file needs
  for file in "$@"; do
    [[ -z ${put[$file]:-} ]] || continue
    put[$file]=1
    needs=$(grep -m 1 -F "$file:" "$into/modules.dep")
    # shellcheck disable=SC2086  # a list of files
    put_in_order ${needs#*:}
    cp "$into/$file" "$build/initramfs/modules/"
    basename "$file" >>"$build/initramfs/modules/order"
  done
}

: >"$build/initramfs/modules/order"
for name in "${wanted[@]}"; do
  if line=$(module_line "$name"); then
    put_in_order "${line%%:*}"
  elif [[ " ${needed[*]} " == *" $name "* && -s $into/modules.builtin ]] &&
    ! grep -q -E "/${name//_/[-_]}\.ko$" "$into/modules.builtin"; then
    echo "$modules has no $name, and it is not built in either" >&2
    exit 2
  fi
done
cp "$busybox" "$build/initramfs/bin/busybox"
install -m 755 "$here/kernel-init.sh" "$build/initramfs/init"
pack_cpio "$build/initramfs" "$build/out/initramfs.cpio" "$busybox"

kib=$(du -sk "$into" | cut -f1)
mke2fs -q -F -t ext4 -O ^has_journal -m 0 -L modules -d "$build/stage/usr/lib/modules" "$build/out/modules.img" \
  $((kib * 5 / 4 + 16 * 1024))k >/dev/null || stop "mke2fs cannot make an image of $kib KiB of modules"
mv -T "$build/out" "$ready" 2>/dev/null || [[ -d $ready ]]
# Left by builds that were killed; this one has taken minutes.
find "$cache" -maxdepth 1 -name '.modules-*' -mmin +60 -exec rm -rf {} +
find "$cache" -maxdepth 1 -name 'modules-*-????????????' -mtime +14 -exec rm -rf {} +
echo "$ready"
