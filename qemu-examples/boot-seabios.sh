#!/usr/bin/env bash
# Boots a guest from a vloop disk the BIOS way: SeaBIOS reads GRUB from the disk's first sectors,
# GRUB reads the kernel from its ext4 partition, and that partition is the guest's root file system.
set -euo pipefail
source "$(dirname "$0")/lib/example.sh"

say_title 'Boot from a vloop disk: SeaBIOS and GRUB'
cp --sparse=always "$("$lib/assets.sh" boot)/boot.img" "$work/boot.img"
vloop_start boot "$work/boot.img"
guest_boot -chardev "socket,id=boot,path=$work/boot.sock" \
  -device vhost-user-blk-pci,chardev=boot,bootindex=1 <<'END'
set -e
[ ! -d /sys/firmware/efi ]
grep -q '^/dev/vda1 / ext4 ' /proc/mounts
echo "firmware: BIOS; root file system: $(grep '^/dev/vda1 ' /proc/mounts | cut -d' ' -f1-3)"
dd if=/dev/urandom of=/written bs=1M count=4 2>/dev/null
sync
echo "kernel $(uname -r), read from the disk itself; 4 MiB written to it"
END
guest_said GRUB-STARTED || stop 'GRUB did not start from the disk'
vloop_stop boot
say_ok 'the guest booted from the vloop disk'
