#!/bin/bash
# PID 1 of the guest. Mounts what user space expects, starts udev (which names disks by serial), fetches the payload that
# the host attached as a disk, and hands over to it. Knows nothing of tests; the image need not change with them.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=linux LC_ALL=C
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs tmp /tmp
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
ln -sf /proc/mounts /etc/mtab
ip link set lo up 2>/dev/null
hostname fs-tests 2>/dev/null || echo fs-tests >/proc/sys/kernel/hostname
modprobe -qa virtio_pci virtio_blk

/usr/lib/systemd/systemd-udevd --daemon
udevadm trigger --type=subsystems --action=add
udevadm trigger --type=devices --action=add --subsystem-match=block --subsystem-match=tty
udevadm settle --timeout=30

# The payload is a tar archive as it stands, on the disk with this serial.
for tries in 1 2 3 4 5; do
  for serial in /sys/block/*/serial /sys/block/*/device/serial; do
    [[ -r $serial && $(tr -d ' \n' <"$serial") == vloop-payload ]] || continue
    disk=${serial#/sys/block/}
    mount -t tmpfs payload /payload && tar -C /payload -xf "/dev/${disk%%/*}" && exec /bin/bash /payload/agent.sh
  done
  sleep 1
done
echo "FS-TESTS-NO-PAYLOAD"
echo o >/proc/sysrq-trigger
sleep 10
