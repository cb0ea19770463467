#!/bin/bash
# libvirt-enter.sh TREE COMMAND…: runs the command where the unpacked packages of TREE are installed. Meant for
# `unshare --mount --pid --fork --mount-proc`: this is process 1 of its own, and what libvirt writes outside the
# directories it is given (/run, /var/lib, control groups) is in memory that ends with the namespace.
set -euo pipefail
tree=$1
shift
mount -t overlay overlay -o "lowerdir=$tree/usr:/usr" /usr
for hidden in /run /var/lib /var/log /var/cache /sys/fs/cgroup; do
  mount -t tmpfs none "$hidden"
done
# The user that Debian's libvirt asks for, whatever user its configuration names.
for kind in passwd group; do
  cp "/etc/$kind" "/run/$kind"
done
echo 'libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin' >>/run/passwd
echo 'libvirt-qemu:x:64055:' >>/run/group
for kind in passwd group; do
  mount --bind "/run/$kind" "/etc/$kind"
done
# No exec: process 1 has to wait for orphans, as QEMU is one.
"$@"
exit $?
