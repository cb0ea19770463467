#!/usr/bin/env bash
# A disk with 4 KiB logical blocks: the guest sees the size, ext4 and xfs work on it, and a
# file system with smaller blocks cannot be made.
set -euo pipefail
source "$(dirname "$0")/lib/example.sh"

say_title 'A disk with 4 KiB blocks'
vloop_start disk "$(new_image disk.img 512M)" --block-size=4096
guest_run -chardev "socket,id=disk,path=$work/disk.sock" \
  -device vhost-user-blk-pci,chardev=disk <<'END'
set -e
[ "$(cat /sys/block/vda/queue/logical_block_size)" = 4096 ]
echo "logical_block_size: 4096"
if mkfs.ext4 -q -F -b 1024 /dev/vda 2>/dev/null; then exit 1; fi
echo "ext4 with 1 KiB blocks: refused, as it must be"
for fs in xfs ext4; do
  if [ $fs = xfs ]; then mkfs.xfs -q -f /dev/vda; else mkfs.ext4 -q -F /dev/vda; fi
  mount -t $fs /dev/vda /mnt
  dd if=/dev/urandom of=/mnt/data bs=1M count=16 2>/dev/null
  sum=$(sha256sum </mnt/data)
  umount /mnt
  mount -t $fs /dev/vda /mnt
  [ "$(sha256sum </mnt/data)" = "$sum" ]
  umount /mnt
  if [ $fs = xfs ]; then check='xfs_repair -n'; else check='e2fsck -fn'; fi
  $check /dev/vda >/dev/null 2>&1
  echo "$fs: written, remounted, checksum right, fsck clean"
done
END
vloop_stop disk
say_ok 'ext4 and xfs live on 4 KiB blocks'
