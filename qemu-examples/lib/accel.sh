#!/usr/bin/env bash
# Prints "kvm" when a guest really boots under KVM here, else "tcg". /dev/kvm may be there and
# still leave the guest spinning (nested machines), so a bounded boot decides, once per boot of
# this machine. VLOOP_ACCEL=kvm|tcg skips the question.
set -euo pipefail
lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$lib/say.sh"
source "$lib/packages.sh"
packages_install qemu-system-x86_64=qemu-system-x86 >&2
if [[ -n ${VLOOP_ACCEL:-} ]]; then
  echo "$VLOOP_ACCEL"
  exit
fi
if [[ ! -r /dev/kvm || ! -w /dev/kvm ]]; then
  echo tcg
  exit
fi
base=$("$lib/assets.sh" base)
answer=${XDG_CACHE_HOME:-$HOME/.cache}/vloop/accel-$(tr -d - </proc/sys/kernel/random/boot_id)
if [[ ! -s $answer ]]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  echo 'echo KVM-WORKS' >"$work/script"
  { timeout -k 1 8 qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot \
    -machine q35 -accel kvm -cpu host -smp 2 -m 512 \
    -kernel "$base/vmlinuz" -initrd "$base/guest.cpio" -append 'console=ttyS0 quiet panic=-1' \
    -fw_cfg "name=opt/vloop/script,file=$work/script" -serial "file:$work/serial" \
    >"$work/qemu.log" 2>&1 </dev/null || true; } 2>/dev/null
  if grep -q KVM-WORKS "$work/serial" 2>/dev/null; then word=kvm; else word=tcg; fi
  echo $word >"$work/answer"
  mv "$work/answer" "$answer"
fi
cat "$answer"
