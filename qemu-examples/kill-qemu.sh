#!/usr/bin/env bash
# QEMU is killed while the guest writes, and a new one is started on the same vloop process: it
# serves the new front-end, and everything the first guest had synced is there.
set -euo pipefail
source "$(dirname "$0")/lib/example.sh"

say_title 'QEMU is killed under load and started again'
vloop_start disk "$(new_image disk.img 256M)"
disk=(-chardev "socket,id=disk,path=$work/disk.sock" -device vhost-user-blk-pci,chardev=disk)
guest_start "${guest_kernel[@]}" "${disk[@]}" <<'END'
set -e
mkfs.ext4 -q -F /dev/vda
mount /dev/vda /mnt
dd if=/dev/urandom of=/mnt/data bs=1M count=8 2>/dev/null
sha256sum </mnt/data >/mnt/sum
sync
echo "8 MiB written and synced; writing on without end"
while :; do dd if=/dev/urandom of=/mnt/more bs=1M count=8 conv=fsync 2>/dev/null; done
END
wait_until "$guest_timeout" guest_said 'without end' ||
  stop "the guest did not get to writing: $(guest_last_words)"
sleep 1.5
kill -KILL "$guest_pid"
wait "$guest_pid" 2>/dev/null || true
say_step 'QEMU killed with SIGKILL; starting it again'
guest_run "${disk[@]}" <<'END'
set -e
mount -t ext4 /dev/vda /mnt
[ "$(sha256sum </mnt/data)" = "$(cat /mnt/sum)" ]
umount /mnt
e2fsck -fn /dev/vda >/dev/null 2>&1
echo "journal replayed, the synced file has its checksum, fsck clean"
END
vloop_stop disk
say_ok 'one vloop process served both'
