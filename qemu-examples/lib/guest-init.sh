#!/bin/sh
# PID 1 of the small guest: loads the virtio drivers, then runs the script that QEMU passes as
# the fw_cfg file opt/vloop/script and powers off, or gives a shell when there is none.
# With root=DEV on the kernel's command line it first moves onto that disk and starts over there.
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/ TERM="${TERM:-linux}"

if [ "$1" != moved ]; then
  mount -t proc none /proc
  mount -t sysfs none /sys
  mount -t devtmpfs none /dev 2>/dev/null
  modprobe -a virtio_pci virtio_blk qemu_fw_cfg xfs
  root=$(sed -n 's/.*root=\([^ ]*\).*/\1/p' /proc/cmdline)
  if [ -n "$root" ]; then
    tries=0
    until [ -b "$root" ] || [ $tries -ge 50 ]; do
      tries=$((tries + 1))
      sleep 0.1
    done
    mkdir -p /root
    if ! mount "$root" /root; then
      echo "GUEST-RC 120"
      poweroff -f
    fi
    for dir in proc sys dev; do mount --move /$dir /root/$dir; done
    exec switch_root -c /dev/console /root /init moved
  fi
fi

script=/sys/firmware/qemu_fw_cfg/by_name/opt/vloop/script/raw
if [ -e $script ]; then
  cat $script >/run-me
  echo GUEST-READY
  sh /run-me </dev/null 2>&1
  echo "GUEST-RC $?"
  sync
  poweroff -f
fi

echo
echo "A small guest: busybox, mkfs.ext4, mkfs.xfs. Disks:"
for disk in /sys/block/vd*; do
  [ -e "$disk/size" ] && echo "  /dev/${disk##*/}  $(($(cat "$disk/size") / 2048)) MiB"
done
echo "Leave with 'exit' (powers off) or Ctrl-A X (quits QEMU)."
setsid cttyhack sh
sync
poweroff -f
