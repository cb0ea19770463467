#!/bin/bash
# One case of the packaged suite: packaged.sh FS NAME, with tools of Debian packages only. FS "block" is the bare disk.
# Status 0 passed, else failed. Each case makes what it needs on the scratch disk and ends with the file system's own check.
set -euo pipefail
source /payload/disks.sh
fs=$1 name=$2
disk=$(disk_of scratch)
dir=/mnt/scratch
fio_verify=(--verify=crc32c --verify_fatal=1 --randrepeat=1 --output-format=terse --group_reporting)

on_fs() {
  make_fs "$fs" "$disk"
  mkdir -p "$dir"
  mount "$disk" "$dir"
  trap 'umount -q "$dir" || true' EXIT
  "$@"
  umount "$dir"
  trap - EXIT
  check_fs "$fs" "$disk"
}

# Written data takes room on the host, thrown away data gives it back. The limits are wide: metadata stays.
holes_between() {
  local full empty
  full=$(ask_host allocated scratch)
  "$@"
  empty=$(ask_host allocated scratch)
  echo "the image took $full KiB, then $empty KiB"
  ((full >= 90 * 1024 && empty <= full - 80 * 1024))
}

trim() {
  rm "$dir/big"
  sync
  fstrim -v "$dir"
}

dmesg -C
case $name in
  fio-verify)
    if [[ $fs == block ]]; then
      fio --name=mixed --filename="$disk" --direct=1 --ioengine=io_uring --rw=randwrite --bsrange=512-128k \
        --blockalign=512 --size=256M --io_size=64M --iodepth=16 --serialize_overlap=1 --do_verify=1 "${fio_verify[@]}"
    else
      on_fs fio --name=direct --directory="$dir" --direct=1 --ioengine=io_uring --rw=randwrite --bsrange=4k-128k \
        --blockalign=4k --size=64M --io_size=48M --iodepth=16 --serialize_overlap=1 --do_verify=1 "${fio_verify[@]}"
    fi
    ;;
  fio-buffered)
    on_fs fio --name=buffered --directory="$dir" --numjobs=2 --ioengine=psync --rw=randwrite --bsrange=1k-64k \
      --size=32M --io_size=24M --fsync=64 --do_verify=1 "${fio_verify[@]}"
    ;;
  fio-trim)
    fio --name=fill --filename="$disk" --direct=1 --ioengine=io_uring --rw=randwrite --bs=64k --size=128M --iodepth=16 \
      --do_verify=1 "${fio_verify[@]}"
    fio --name=mix --filename="$disk" --direct=1 --ioengine=io_uring --rw=randtrimwrite --bs=64k --size=128M \
      --io_size=64M --iodepth=16 --output-format=terse
    # A discarded range of this disk is a hole and reads as zeroes.
    blkdiscard -f -o 0 -l 128M "$disk"
    cmp -n $((128 << 20)) "$disk" /dev/zero
    ;;
  badblocks)
    # It lists what it found on stdout and ends with 0 all the same.
    bad=$(badblocks -wsv -b 4096 -c 64 -t random "$disk" 32768)$(badblocks -nsv -b 4096 -c 64 "$disk" 16384)
    if [[ -n $bad ]]; then
      echo "bad blocks: ${bad:0:60}" | tr '\n' ' '
      exit 1
    fi
    ;;
  discard-holes)
    dd if=/dev/urandom of="$disk" bs=1M count=96 oflag=direct status=none
    holes_between blkdiscard -f "$disk"
    ;;
  zeroes)
    dd if=/dev/urandom of="$disk" bs=1M count=64 oflag=direct status=none
    # Two ways of asking for the same: zeroes in place of data.
    blkdiscard -f -z -o 1M -l 30M "$disk"
    fallocate -z -o 32M -l 16M "$disk"
    cmp -i 1M:0 -n 30M "$disk" /dev/zero
    cmp -i 32M:0 -n 16M "$disk" /dev/zero
    # What lies beside them is still there.
    for beside in 0 31M 48M; do
      if cmp -s -i $beside:0 -n 1M "$disk" /dev/zero; then echo "zeroes at $beside too" && exit 1; fi
    done
    ;;
  fstrim-holes)
    trim_big() {
      dd if=/dev/urandom of="$dir/big" bs=1M count=96 conv=fsync status=none
      holes_between trim
    }
    on_fs trim_big
    ;;
  stress-hdd)
    on_fs stress-ng --temp-path "$dir" --hdd 2 --hdd-bytes 32m --hdd-opts direct,dsync --verify -t 5 ;;
  stress-io) on_fs stress-ng --temp-path "$dir" --class io --seq 1 --verify -t 1 ;;
  stress-filesystem) on_fs stress-ng --temp-path "$dir" --class filesystem --seq 1 --verify -t 1 ;;
  dbench) on_fs dbench -t 5 -c /usr/share/dbench/client.txt -D "$dir" 4 ;;
  *) echo "no case $name" && exit 1 ;;
esac
# A disk that returned errors is no pass, whatever the tools made of it.
if kernel_complains; then
  echo 'the kernel complains' >"$reason_file"
  exit 1
fi
