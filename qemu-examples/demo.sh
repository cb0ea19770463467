#!/usr/bin/env bash
# What `make demo` runs: installs what is missing (QEMU, the guest's file system tools), makes an
# image, serves it with vloop, boots a guest that formats, fills and verifies it, reads the result
# out of the image here, and says what vloop has served. Leaves nothing running.
set -euo pipefail
cd "$(dirname "$0")"
source lib/say.sh
began=$SECONDS

say_title 'vloop demo: a virtual machine formats, fills and verifies a disk served from user space'
if [[ ! -x ../node_modules/.bin/node && -z ${VLOOP:-} ]]; then
  command -v npm >/dev/null || stop 'npm is missing: install Node.js first'
  say_step 'npm ci'
  npm --prefix .. ci --no-audit --no-fund --silent || stop "'npm ci' failed"
fi
source lib/example.sh
packages_install debugfs=e2fsprogs

image=$(new_image disk.img 1G)
say_step 'Made disk.img: 1 GiB, all of it a hole'
vloop_start disk "$image" --serial=vloop-demo
say_step "Booting a Linux guest under ${accel^^} with it as its disk"
guest_run -chardev "socket,id=disk,path=$work/disk.sock" \
  -device vhost-user-blk-pci,chardev=disk <<'END'
set -e
cd /sys/block/vda
mib=$(($(cat size) / 2048))
echo "guest sees   /dev/vda, $mib MiB, serial $(cat serial), $(cat cache_type) cache"
mkfs.ext4 -q -F /dev/vda
mount -o discard /dev/vda /mnt
echo "formatted    ext4"
dd if=/dev/urandom of=/mnt/random bs=1M count=32 conv=fsync 2>/dev/null
cp -r /lib /usr /mnt
(cd /mnt && find . -type f ! -name sums -exec sha256sum {} + >/tmp/sums && cp /tmp/sums sums)
echo "written      $(du -sm /mnt | cut -f1) MiB in $(wc -l </tmp/sums) files"
umount /mnt
mount /dev/vda /mnt
(cd /mnt && sha256sum -c sums >/dev/null)
echo "verified     every checksum right after a remount"
umount /mnt
e2fsck -fn /dev/vda >/dev/null 2>&1
echo "checked      e2fsck finds nothing to repair"
END
vloop_stop disk

debugfs -R "dump /random $work/random" "$image" 2>/dev/null
debugfs -R "dump /sums $work/sums" "$image" 2>/dev/null
here=$(sha256sum <"$work/random")
grep -q "^${here%% *} .*/random$" "$work/sums" ||
  stop 'the file read on this machine differs from what the guest wrote'
say_step "Read the guest's file out of disk.img on this machine: same checksum"
holds=$(($(stat -c %b "$image") / 2048))
say_ok "disk.img holds $holds MiB; the demo took $((SECONDS - began)) seconds"
