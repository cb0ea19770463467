#!/usr/bin/env bash
# The disk checker in a guest: random operations from four threads on a vloop disk and on a file
# in it, every byte that is read checked. Then a disk that loses writes, to see that it is found.
set -euo pipefail
source "$(dirname "$0")/lib/example.sh"

say_title 'Every byte that a guest reads is one that it wrote'
checker=$("$examples/disk-checker.sh")
cat "$base/guest.cpio" "$checker/disk-checker.cpio" >"$work/initrd"
guest_kernel[3]=$work/initrd # in the place of guest.cpio
options=${*:---ops=600 --rounds=2}
image=$(new_image disk.img 256M)
disk=(-chardev "socket,id=disk,path=$work/disk.sock")
disk+=(-device vhost-user-blk-pci,chardev=disk,num-queues=2)
vloop_start disk "$image" --workers=2
say_step "disk-checker $options /dev/vda, then a file on ext4"
guest_run "${disk[@]}" <<END
set -e
disk-checker $options /dev/vda
mkfs.ext4 -q -F /dev/vda
mount /dev/vda /mnt
disk-checker $options /mnt/file
umount /mnt
# Not vloop's doing: the checker itself drops one write in 200.
disk-checker --ops=600 --spoil=lost:200 --shrink-seconds=2 /dev/vda && exit 1 || [ \$? = 1 ]
END
vloop_stop disk
say_ok 'nothing was wrong but what was made wrong'
