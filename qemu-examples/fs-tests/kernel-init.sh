#!/bin/busybox sh
# PID 1 of a guest whose kernel has its drivers as modules: loads those that the root needs, mounts the root and the kernel's
# modules over it, and goes on with the root's own init.sh. The disks are found by their serials.
for applet in insmod mount umount sleep switch_root cat poweroff; do /bin/busybox ln -s busybox /bin/$applet; done
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev

# What cannot be loaded (a checksum of CPUs that this one is none of) may not be needed.
while read -r module; do insmod "/modules/$module" 2>/dev/null; done </modules/order

# mount_disk SERIAL DIR OPTIONS
mount_disk() {
  tries=0
  while [ $tries -lt 100 ]; do
    for serial in /sys/block/vd*/serial; do
      [ "$(cat "$serial" 2>/dev/null)" = "$1" ] || continue
      disk=${serial#/sys/block/}
      mount -t ext4 -o "$3" "/dev/${disk%/serial}" "$2"
      return
    done
    tries=$((tries + 1))
    sleep 0.1
  done
  echo 'no disk came up'
  return 1
}

if ! said=$(mount_disk vloop-root /root rw 2>&1) || ! said=$(mount_disk vloop-modules /root/usr/lib/modules ro 2>&1); then
  echo "FS-TESTS-NO-ROOT $said"
  poweroff -f
fi
umount /dev /sys /proc
exec switch_root /root /init.sh
