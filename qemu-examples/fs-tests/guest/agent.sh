#!/bin/bash
# The guest's end of the channel to fs-tests (ttyS1; the host's is channel.ts). Reads a command a line, runs it, answers
# in lines that start with @, and with | before output. A test's own script gives its status: 0 passed, 77 not run.
#   prepare FS                the disks get ready for tests on FS
#   run SECONDS SUITE FS NAME one test, cut off after SECONDS
#   off                       power off
cd /payload || exit 1
source /payload/disks.sh
# What an init system would have made: process substitution needs it.
ln -sfn /proc/self/fd /dev/fd
for name in stdin:0 stdout:1 stderr:2; do ln -sfn "/proc/self/fd/${name#*:}" "/dev/${name%:*}"; done
exec 3<>/dev/ttyS1
stty -F /dev/ttyS1 raw -echo 115200
output=/tmp/fs-tests-output
reason_file=/tmp/fs-tests-reason
export reason_file
export -f ask_host

say() { printf '%s\n' "$*" >&3; }

# What the kernel counted for each disk: reads, sectors read, writes, sectors written, discards, flushes.
say_counters() {
  local role disk fields
  for role in "${roles[@]}"; do
    disk=$(disk_of "$role") || continue
    read -ra fields <"/sys/block/${disk#/dev/}/stat"
    say "@counters $1 $role ${fields[0]} ${fields[2]} ${fields[4]} ${fields[6]} ${fields[11]:-0} ${fields[15]:-0}"
  done
}

# Its last lines, since a serial line is slow; those of a test that passed are of no interest.
say_output() {
  tail -n 150 "$output" | cut -c1-500 | tr -d '\r' | sed 's/^/|/' >&3
}

run_test() {
  local seconds=$1 suite=$2 fs=$3 name=$4 status
  rm -f "$reason_file"
  say "@begin $suite $fs $name"
  say_counters before
  printf 'fs-tests: %s %s %s\n' "$suite" "$fs" "$name" >/dev/kmsg
  local began=${EPOCHREALTIME/./}
  # A session of its own: what a test leaves running is ended with it. The channel is open for questions to the host.
  setsid --wait timeout -k 5 "$seconds" bash "/payload/$suite.sh" "$fs" "$name" >"$output" 2>&1 </dev/null
  status=$?
  local took_ms=$(((${EPOCHREALTIME/./} - began) / 1000))
  if ((status == 124 || status == 137)); then
    printf 'w' >/proc/sysrq-trigger
    dmesg | tail -n 80 >>"$output"
  fi
  say_counters after
  ((status == 0)) || say_output
  [[ ! -s $reason_file ]] || say "@reason $(head -n 1 "$reason_file" | cut -c1-300)"
  say "@end $status $took_ms"
}

say "@hello $(uname -r)"
for role in "${roles[@]}"; do
  disk_of "$role" >/dev/null || { [[ $role == pool* ]] || say "@missing $role"; }
done
while IFS= read -r line <&3; do
  read -ra words <<<"$line"
  case ${words[0]:-} in
    prepare)
      prepare_disks "${words[1]}" >"$output" 2>&1 && say '@prepared 0' || { say_output; say '@prepared 1'; }
      ;;
    run) run_test "${words[@]:1}" ;;
    off) break ;;
    '') ;;
    *) say "@unknown ${words[0]}" ;;
  esac
done
sync
say '@off'
echo o >/proc/sysrq-trigger
sleep 30
