#!/usr/bin/env bash
# Discard: what the guest throws away becomes a hole in the image, and the host gets the room
# back. First with blkdiscard on the whole disk, then with fstrim on a file system.
set -euo pipefail
source "$(dirname "$0")/lib/example.sh"

say_title 'Discard gives the host its disk space back'
image=$(new_image disk.img 256M)
on_host() { echo $(($(stat -c '%b' "$image") / 2048)); }
disk=(-chardev "socket,id=disk,path=$work/disk.sock" -device vhost-user-blk-pci,chardev=disk)
vloop_start disk "$image"
guest_run "${disk[@]}" <<'END'
set -e
dd if=/dev/urandom of=/dev/vda bs=1M count=96 oflag=direct 2>/dev/null
END
full=$(on_host)
say_step "after the guest wrote 96 MiB the image takes $full MiB"
guest_run "${disk[@]}" <<'END'
set -e
/usr/sbin/blkdiscard -f /dev/vda 2>/dev/null
END
empty=$(on_host)
say_step "after blkdiscard it takes $empty MiB"
guest_run "${disk[@]}" <<'END'
set -e
mkfs.ext4 -q -F /dev/vda
mount /dev/vda /mnt
dd if=/dev/urandom of=/mnt/big bs=1M count=96 2>/dev/null
sync
rm /mnt/big
sync
fstrim -v /mnt
umount /mnt
END
trimmed=$(on_host)
say_step "after a 96 MiB file was written, removed and trimmed it takes $trimmed MiB"
vloop_stop disk
((full >= 96 && empty <= 2 && trimmed <= 32)) || stop 'the image did not shrink'
say_ok 'discarded blocks are holes on the host'
