#!/usr/bin/env bash
# A data disk: the guest formats it with xfs, then with ext4, writes files, unmounts, mounts again,
# compares checksums and checks the file system. Then this machine reads the same file out of
# the image without the guest and compares once more.
set -euo pipefail
source "$(dirname "$0")/lib/example.sh"
packages_install debugfs=e2fsprogs

say_title 'A data disk: xfs, then ext4'
image=$(new_image disk.img 512M)
vloop_start disk "$image"
guest_run -chardev "socket,id=disk,path=$work/disk.sock" \
  -device vhost-user-blk-pci,chardev=disk <<'END'
set -e
for fs in xfs ext4; do
  if [ $fs = xfs ]; then mkfs.xfs -q -f /dev/vda; else mkfs.ext4 -q -F /dev/vda; fi
  mount -t $fs /dev/vda /mnt
  dd if=/dev/urandom of=/mnt/data bs=1M count=16 2>/dev/null
  cp -r /lib /usr /mnt
  (cd /mnt && find . -type f -exec sha256sum {} + >/tmp/sums && cp /tmp/sums sums)
  umount /mnt
  mount -t $fs /dev/vda /mnt
  (cd /mnt && sha256sum -c /tmp/sums >/dev/null)
  echo "$fs: $(wc -l </tmp/sums) files written, read back after a remount, all checksums right"
  umount /mnt
  if [ $fs = xfs ]; then check='xfs_repair -n'; else check='e2fsck -fn'; fi
  $check /dev/vda >/dev/null 2>&1
  echo "$fs: fsck finds nothing to repair"
done
END
vloop_stop disk

debugfs -R "dump /data $work/data" "$image" 2>/dev/null
debugfs -R "dump /sums $work/sums" "$image" 2>/dev/null
here=$(sha256sum <"$work/data")
grep -q "^${here%% *} .*/data$" "$work/sums" ||
  stop 'the file read on this machine differs from what the guest wrote'
say_ok 'the file read out of the image on this machine has the checksum the guest computed'
