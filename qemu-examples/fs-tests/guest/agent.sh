#!/bin/bash
# The guest's end of the channel to fs-tests (ttyS1; the host's is channel.ts). Reads a command a line, runs it, answers
# in lines that start with @, and with | before output. A test's own script gives its status: 0 passed, 77 not run.
#   prepare FS ROLE…          these disks get ready for tests on FS
#   run SECONDS SUITE FS NAME… tests, each cut off after SECONDS, until one of xfstests fails
#   off                       power off
cd /payload || exit 1
source /payload/disks.sh
source /payload/xfstests.sh
# What an init system would have made: process substitution needs it.
ln -sfn /proc/self/fd /dev/fd
for name in stdin:0 stdout:1 stderr:2; do ln -sfn "/proc/self/fd/${name#*:}" "/dev/${name%:*}"; done
exec 3<>/dev/ttyS1
stty -F /dev/ttyS1 raw -echo 115200
output=/tmp/fs-tests-output
reason_file=/tmp/fs-tests-reason
began=0
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

begin_test() {
  rm -f "$reason_file"
  say "@begin $1 $2 $3"
  say_counters before
  printf 'fs-tests: %s %s %s\n' "$1" "$2" "$3" >/dev/kmsg
  began=${EPOCHREALTIME/./}
}

# end_test STATUS SECONDS: what may have been cut off after so many seconds, as batch.ts tells it from a test's own 124 or 137.
end_test() {
  local took_ms=$(((${EPOCHREALTIME/./} - began) / 1000))
  if (($1 == 124 || $1 == 137)) && ((took_ms >= ($2 - 1) * 1000)); then
    printf 'w' >/proc/sysrq-trigger
    dmesg | tail -n 80 >>"$output"
  fi
  say_counters after
  (($1 == 0)) || say_output
  [[ ! -s $reason_file ]] || say "@reason $(head -n 1 "$reason_file" | cut -c1-300)"
  say "@end $1 $took_ms"
}

# run_each SECONDS SUITE FS NAME…: a script for each. One that cannot even be killed, because it waits for a disk, is left.
run_each() {
  local seconds=$1 suite=$2 fs=$3 name status
  rm -f /tmp/ended
  mkfifo /tmp/ended
  exec 5<>/tmp/ended
  for name in "${@:4}"; do
    begin_test "$suite" "$fs" "$name"
    # A session of its own: what a test leaves running is ended with it. The channel is open for questions to the host.
    {
      setsid --wait timeout -k 5 "$seconds" bash "/payload/$suite.sh" "$fs" "$name" >"$output" 2>&1 </dev/null 5>&-
      echo $? >&5
    } &
    IFS= read -r -t $((seconds + 10)) -u 5 status || status=124
    end_test "$status" "$seconds"
  done
  exec 5>&-
}

# run_xfstests SECONDS FS NAME…: one ./check for all. It stops at a gate before each test; there the one before has ended,
# and is told. After one that did not pass the rest is left: it may have left anything behind.
run_xfstests() {
  local seconds=$1 fs=$2 name='' checker=0 event said=0 status started=${EPOCHREALTIME/./}
  rm -f /tmp/gate-begin /tmp/gate-go
  mkfifo /tmp/gate-begin /tmp/gate-go
  exec 5<>/tmp/gate-begin 6<>/tmp/gate-go
  setsid bash /payload/xfstests.sh "$fs" "${@:3}" >"$output.all" 2>&1 </dev/null 5>&- 6>&- &
  local child=$!
  while :; do
    status=0
    IFS=' ' read -r -t "$seconds" -u 5 event checker_now || status=124
    if [[ -n $name || $status == 124 || $event == end ]]; then
      # It never came as far as a test.
      [[ -n $name ]] || { name=$3 && begin_test xfstests "$fs" "$name" && began=$started; }
      tail -c +$((said + 1)) "$output.all" >"$output"
      if ((status == 0)); then
        xfstests_status "$name" "$checker" >>"$output" 2>&1
        status=$?
      fi
      end_test $status "$seconds"
      ((status == 0 || status == 77)) && [[ $event != end ]] || break
    fi
    name=$event checker=$checker_now said=$(stat -c %s "$output.all")
    begin_test xfstests "$fs" "$name"
    echo go >&6
  done
  kill -KILL -- "-$child" 2>/dev/null
  # What waits for a disk does not end.
  ((status == 124)) || wait "$child"
  exec 5>&- 6>&-
}

say "@hello $(uname -r)"
while IFS= read -r line <&3; do
  read -ra words <<<"$line"
  case ${words[0]:-} in
    prepare)
      prepare_disks "${words[@]:1}" >"$output" 2>&1
      prepared=$?
      ((prepared == 0)) || say_output
      say "@prepared $prepared"
      ;;
    run)
      if [[ ${words[2]} == xfstests ]]; then
        run_xfstests "${words[1]}" "${words[@]:3}"
      else
        run_each "${words[@]:1}"
      fi
      say '@done'
      ;;
    off) break ;;
    '') ;;
    *) say "@unknown ${words[0]}" ;;
  esac
done
sync
say '@off'
echo o >/proc/sysrq-trigger
sleep 30
