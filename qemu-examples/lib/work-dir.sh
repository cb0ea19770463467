# shellcheck shell=bash
# One temporary directory per run, and nothing left behind: whatever way the script ends, the
# processes in `started` are stopped and $work is removed.

work=$(mktemp -d "${TMPDIR:-/tmp}/vloop-example-XXXXXX")
started=()

# still_runs PID: false for a process that ended, reaped or not.
still_runs() {
  local stat
  # The state follows the command's name, which stands in parentheses: "12 (qemu) S …".
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null && [[ ${stat##*) } != Z* ]]
}

# wait_until SECONDS COMMAND…: tries ten times a second; false when the time is over.
wait_until() {
  local tries=$(($1 * 10))
  shift
  until "$@"; do
    ((tries-- > 0)) || return 1
    sleep 0.1
  done
}

has_ended() { ! still_runs "$1"; }

clean_up() {
  local status=$? pid index
  trap - EXIT
  # Last started, first stopped: the guest goes before the back-end it uses.
  for ((index = ${#started[@]} - 1; index >= 0; index--)); do
    pid=${started[index]}
    kill -TERM "$pid" 2>/dev/null || continue
    wait_until 2 has_ended "$pid" || kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$work"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
