#!/usr/bin/env bash
# A disk with 4 KiB logical blocks: the guest sees the size, file systems work on it, and I/O
# smaller than a block is refused by the guest's kernel.
set -euo pipefail
source "$(dirname "$0")/lib/example.sh"

say_title 'A disk with 4 KiB blocks'
vloop_start disk "$(new_image disk.img 512M)" --block-size=4096
guest_run -chardev "socket,id=disk,path=$work/disk.sock" \
  -device vhost-user-blk-pci,chardev=disk <<'END'
set -e
[ "$(cat /sys/block/vda/queue/logical_block_size)" = 4096 ]
echo "logical_block_size: 4096"
if dd if=/dev/vda of=/dev/null bs=512 count=1 iflag=direct 2>/dev/null; then exit 1; fi
echo "a direct read of 512 bytes is refused"
for fs in xfs ext4; do
  [ $fs = xfs ] && mkfs.xfs -q -f /dev/vda || mkfs.ext4 -q -F /dev/vda
  mount -t $fs /dev/vda /mnt
  dd if=/dev/urandom of=/mnt/data bs=1M count=16 2>/dev/null
  sum=$(sha256sum </mnt/data)
  umount /mnt
  mount -t $fs /dev/vda /mnt
  [ "$(sha256sum </mnt/data)" = "$sum" ]
  umount /mnt
  [ $fs = xfs ] && xfs_repair -n /dev/vda >/dev/null 2>&1 || e2fsck -fn /dev/vda >/dev/null 2>&1
  echo "$fs: written, remounted, checksum right, fsck clean"
done
END
vloop_stop disk
say_ok 'ext4 and xfs live on 4 KiB blocks'
