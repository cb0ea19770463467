#!/usr/bin/env bash
# A read-only disk: the guest can mount and read it; every way of writing to it is refused in the
# guest, and the image does not change by a byte.
set -euo pipefail
source "$(dirname "$0")/lib/example.sh"
packages_install mkfs.ext4=e2fsprogs

say_title 'A read-only disk'
image=$(new_image disk.img 64M)
mkdir "$work/files"
echo 'written on the host' >"$work/files/hello"
mkfs.ext4 -q -F -d "$work/files" "$image"
before=$(sha256sum <"$image")
vloop_start disk "$image" --read-only
guest_run -chardev "socket,id=disk,path=$work/disk.sock" \
  -device vhost-user-blk-pci,chardev=disk <<'END'
set -e
[ "$(cat /sys/block/vda/ro)" = 1 ]
mount -o ro /dev/vda /mnt
echo "the guest reads: $(cat /mnt/hello)"
if (echo x >/mnt/hello) 2>/tmp/error; then exit 1; fi
echo "writing to a file:     $(sed 's/.*: //' /tmp/error)"
umount /mnt
if dd if=/dev/zero of=/dev/vda bs=4k count=1 oflag=direct conv=notrunc 2>/tmp/error; then exit 1; fi
echo "writing to the disk:   $(sed 's/.*: //' /tmp/error | head -n 1)"
if mount -o rw /dev/vda /mnt 2>/tmp/error && (echo x >/mnt/hello) 2>/tmp/error; then exit 1; fi
echo "mounting read-write:   $(sed 's/.*: //' /tmp/error | tail -n 1)"
END
vloop_stop disk
[[ $(sha256sum <"$image") == "$before" ]] || stop 'the image changed'
say_ok 'the image is the same byte for byte'
