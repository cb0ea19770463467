#!/usr/bin/env bash
# The guest reboots itself: firmware and kernel set the disk up again on the same connection, and
# what was written before the reboot is there after it.
set -euo pipefail
source "$(dirname "$0")/lib/example.sh"

say_title 'A guest reboots'
vloop_start disk "$(new_image disk.img 128M)"
guest_run -action reboot=reset -chardev "socket,id=disk,path=$work/disk.sock" \
  -device vhost-user-blk-pci,chardev=disk <<'END'
set -e
if ! mount -t ext4 /dev/vda /mnt 2>/dev/null; then
  mkfs.ext4 -q -F /dev/vda
  mount -t ext4 /dev/vda /mnt
  dd if=/dev/urandom of=/mnt/data bs=1M count=16 2>/dev/null
  sha256sum </mnt/data >/mnt/sum
  umount /mnt
  echo "first boot: 16 MiB written, rebooting"
  reboot -f
  sleep 60
fi
[ "$(sha256sum </mnt/data)" = "$(cat /mnt/sum)" ]
umount /mnt
e2fsck -fn /dev/vda >/dev/null 2>&1
echo "second boot: checksum right, fsck clean"
END
vloop_stop disk
say_ok 'the disk came through the reboot'
