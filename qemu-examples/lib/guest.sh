# shellcheck shell=bash
# Boots the small guest and runs a shell script in it. The script comes on stdin, its output is
# shown as it appears, and a guest that fails, hangs or panics ends the example with a message.
# Needs say.sh, work-dir.sh.

lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
accel=$("$lib/accel.sh")
base=$("$lib/assets.sh" base)
guest_timeout=${guest_timeout:-120}
guest_pid=

# vhost-user shares the guest's memory with the back-end: a memfd with share=on, and the machine
# must be told to use it. cx16=off: QEMU 7.2's TCG gets cmpxchg16b wrong now and then, and newer
# kernels die of it.
guest_machine=(-nodefaults -no-user-config -display none -no-reboot
  -machine q35,memory-backend=mem -m 1024 -object memory-backend-memfd,id=mem,size=1024M,share=on
  -smp 2)
case $accel in
  kvm) guest_machine+=(-accel kvm -cpu host) ;;
  *) guest_machine+=(-accel tcg,thread=multi -cpu 'max,cx16=off') ;;
esac
guest_kernel=(-kernel "$base/vmlinuz" -initrd "$base/guest.cpio"
  -append 'console=ttyS0 quiet loglevel=1 panic=-1 mitigations=off')

# guest_start QEMU-ARGUMENT…: boots a guest in the background; its script is read from stdin.
guest_start() {
  cat >"$work/script"
  : >"$work/serial"
  local first
  first=$(($(date +%s%N) / 1000000))
  qemu-system-x86_64 "${guest_machine[@]}" -fw_cfg "name=opt/vloop/script,file=$work/script" \
    -serial "file:$work/serial" "$@" >"$work/qemu.log" 2>&1 </dev/null &
  guest_pid=$!
  guest_began=$first
  started+=("$guest_pid")
  tail -n +1 -s 0.1 -f --pid="$guest_pid" "$work/serial" 2>/dev/null |
    sed -u -n 's/\r//g; /GUEST-READY/,/GUEST-RC/{/GUEST-/d; /^\[ *[0-9.]*\]/d; s/^/    /p}' &
  guest_output=$!
}

# guest_finish: waits for the guest to power off by itself; its script must have returned 0.
guest_finish() {
  wait_until "$guest_timeout" has_ended "$guest_pid" ||
    stop "the guest did not finish within $guest_timeout s; its last words: $(guest_last_words)"
  wait "$guest_pid" || stop "QEMU failed: $(tail -n 3 "$work/qemu.log")"
  wait "$guest_output" || true
  guest_said 'GUEST-RC' ||
    stop "the guest ended before its script did; its last words: $(guest_last_words)"
  guest_said 'GUEST-RC 0' || stop "the guest's script failed; its last words: $(guest_last_words)"
  local took=$((($(date +%s%N) / 1000000 - guest_began) / 100))
  say_detail "(guest done in $((took / 10)).$((took % 10)) s under $accel)"
}

guest_said() { tr -d '\r' <"$work/serial" | grep -q "$1"; }
guest_last_words() { tr -d '\r' <"$work/serial" | tail -n 5; }

# guest_run QEMU-ARGUMENT…: QEMU loads the kernel; guest_boot: the guest boots from its disk.
guest_run() {
  guest_start "${guest_kernel[@]}" "$@"
  guest_finish
}
guest_boot() {
  guest_start "$@"
  guest_finish
}
