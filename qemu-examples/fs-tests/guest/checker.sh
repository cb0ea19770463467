#!/bin/bash
# One case of the disk checker: checker.sh FS NAME, on the scratch disk (FS "block") or on a file in a new file system there.
# Status 0: every byte that was read is one that may be there; else failed, and what it said has the seed and the log.
set -euo pipefail
source /payload/disks.sh
fs=$1 name=$2
disk=$(disk_of scratch)
dir=/mnt/scratch
checker=(/payload/disk-checker --rounds=2 --shrink-seconds=10)
target=$disk
dmesg -C
if [[ $fs != block ]]; then
  make_fs "$fs" "$disk"
  mkdir -p "$dir"
  mount "$disk" "$dir"
  trap 'umount -q "$dir" || true' EXIT
  target=$dir/file
fi
case $name in
  device) "${checker[@]}" --ops=1500 "$target" ;;
  device-many-threads) "${checker[@]}" --ops=150 --threads=32 --size=128M "$target" ;;
  device-bytes | file-bytes) "${checker[@]}" --ops=400 --io=buffered --size=512K "$target" ;;
  file) "${checker[@]}" --ops=600 "$target" ;;
  *) echo "no case $name" && exit 1 ;;
esac
if [[ $fs != block ]]; then
  umount "$dir"
  trap - EXIT
  check_fs "$fs" "$disk"
fi
# A disk that returned errors is no pass, whatever was read in the end.
if kernel_complains; then
  echo 'the kernel complains' >"$reason_file"
  exit 1
fi
