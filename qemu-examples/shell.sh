#!/usr/bin/env bash
# An interactive shell in a small guest with IMAGE as /dev/vda:
#   shell.sh IMAGE [VLOOP-OPTION…]      e.g. shell.sh disk.img --read-only
# The image is created (1 GiB, sparse) when it does not exist. 'exit' powers the guest off.
set -euo pipefail
source "$(dirname "$0")/lib/example.sh"

[[ $# -ge 1 && $1 != -* ]] || stop 'usage: shell.sh IMAGE [VLOOP-OPTION…]'
image=$1
shift
[[ -e $image ]] || truncate -s 1G "$image"
vloop_start disk "$image" "$@"
say_step 'Booting; Ctrl-A X quits QEMU'
qemu-system-x86_64 "${guest_machine[@]}" "${guest_kernel[@]}" -serial mon:stdio \
  -chardev "socket,id=disk,path=$work/disk.sock" -device vhost-user-blk-pci,chardev=disk
vloop_stop disk
