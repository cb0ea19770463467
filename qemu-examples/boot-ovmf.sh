#!/usr/bin/env bash
# Boots a guest from a vloop disk the UEFI way: OVMF finds GRUB on the disk's EFI partition.
# disable-legacy=on matters: OVMF would otherwise drive the transitional device with its legacy
# virtio driver, which no vhost-user-blk back-end can serve. (Behind a pcie-root-port the device
# is modern anyway.)
set -euo pipefail
source "$(dirname "$0")/lib/example.sh"

say_title 'Boot from a vloop disk: OVMF (UEFI) and GRUB'
boot=$("$lib/assets.sh" boot)
cp --sparse=always "$boot/boot.img" "$work/boot.img"
vloop_start boot "$work/boot.img"
guest_boot -bios "$boot/OVMF.fd" -chardev "socket,id=boot,path=$work/boot.sock" \
  -device vhost-user-blk-pci,chardev=boot,bootindex=1,disable-legacy=on <<'END'
set -e
[ -d /sys/firmware/efi ]
grep -q '^/dev/vda1 / ext4 ' /proc/mounts
echo "firmware: UEFI; root file system: $(grep '^/dev/vda1 ' /proc/mounts | cut -d' ' -f1-3)"
dd if=/dev/urandom of=/written bs=1M count=4 2>/dev/null
sync
echo "kernel $(uname -r), read from the disk itself; 4 MiB written to it"
END
guest_said GRUB-STARTED || stop 'GRUB did not start from the disk'
vloop_stop boot
say_ok 'the guest booted from the vloop disk'
