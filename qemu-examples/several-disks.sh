#!/usr/bin/env bash
# Three disks, one vloop process each, with four queues and a serial number of their own, on one
# guest. All three are filled at the same time and read back; the guest tells them apart by serial.
set -euo pipefail
source "$(dirname "$0")/lib/example.sh"

say_title 'Several disks with several queues'
arguments=()
for name in red green blue; do
  vloop_start "$name" "$(new_image "$name.img" 128M)" --num-queues=4 --serial="disk-$name"
  arguments+=(-chardev "socket,id=$name,path=$work/$name.sock")
  arguments+=(-device "vhost-user-blk-pci,chardev=$name,num-queues=4")
done
guest_run "${arguments[@]}" -smp 4 <<'END'
set -e
for disk in vda vdb vdc; do
  serial=$(cat /sys/block/$disk/serial)
  queues=$(ls /sys/block/$disk/mq | wc -l)
  echo "$disk: serial $serial, $queues queues"
  [ "$queues" = 4 ]
done
cd /sys/block
[ "$(cat vda/serial vdb/serial vdc/serial)" = disk-reddisk-greendisk-blue ]
for disk in vda vdb vdc; do
  (
    dd if=/dev/urandom of=/tmp/$disk bs=1M count=8 2>/dev/null
    dd if=/tmp/$disk of=/dev/$disk bs=64k oflag=direct 2>/dev/null
  ) &
done
wait
for disk in vda vdb vdc; do
  dd if=/dev/$disk bs=1M count=8 iflag=direct 2>/dev/null | cmp - /tmp/$disk
done
echo "8 MiB of random data written to each at the same time and read back unchanged"
END
for name in red green blue; do vloop_stop "$name"; done
say_ok 'three disks, twelve queues, no byte in the wrong place'
