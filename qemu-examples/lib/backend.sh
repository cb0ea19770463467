# shellcheck shell=bash
# Starts and stops vloop for an example. VLOOP may name another command that takes the same
# arguments. Needs say.sh, work-dir.sh.

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
declare -A vloop_pid=()

vloop_command() {
  if [[ -n ${VLOOP:-} ]]; then
    echo "$VLOOP"
  else
    [[ -x $repo/node_modules/.bin/node ]] || stop "run 'npm ci' in $repo first"
    echo "$repo/node_modules/.bin/node $repo/src/cli/vloop.js"
  fi
}

# vloop_start NAME IMAGE [OPTION…]: serves IMAGE on $work/NAME.sock; the log is $work/NAME.log.
vloop_start() {
  local name=$1 image=$2 command
  shift 2
  command=$(vloop_command)
  say_step "vloop serve $(basename "$image") --socket-path=$name.sock${*:+ $*}"
  # shellcheck disable=SC2086  # a command with its arguments
  $command serve "$image" --socket-path="$work/$name.sock" "$@" \
    >"$work/$name.out" 2>"$work/$name.log" &
  vloop_pid[$name]=$!
  started+=("$!")
  wait_until 15 socket_or_death "$name" || stop "vloop did not listen within 15 seconds"
  [[ -S $work/$name.sock ]] || stop "vloop ended: $(tail -n 3 "$work/$name.log")"
}

socket_or_death() { [[ -S $work/$1.sock ]] || has_ended "${vloop_pid[$1]}"; }

# vloop_stop NAME: SIGTERM must end it with status 0; prints what it has served.
vloop_stop() {
  local name=$1 pid=${vloop_pid[$1]} status=0
  kill -TERM "$pid" 2>/dev/null ||
    stop "vloop was gone before it was asked to: $(tail -n 3 "$work/$name.log")"
  wait_until 5 has_ended "$pid" || stop 'vloop did not end within 5 seconds of SIGTERM'
  wait "$pid" || status=$?
  ((status == 0)) || stop "vloop ended with status $status: $(tail -n 3 "$work/$name.log")"
  say_step "vloop served $(vloop_summary "$name")"
}

# vloop_summary NAME: the summary line of its log in words.
vloop_summary() {
  local line key words=''
  line=$(grep '"msg":"summary"' "$work/$1.log" | tail -n 1) || stop "no summary in vloop's log"
  for key in reads writes flushes discards errors; do
    words+="$(summary_number "$line" $key) $key, "
  done
  echo "$words$(mebibytes "$(summary_number "$line" bytesRead)") read," \
    "$(mebibytes "$(summary_number "$line" bytesWritten)") written"
}

summary_number() { sed -n "s/.*\"$2\":\([0-9]*\).*/\1/p" <<<"$1"; }
mebibytes() { printf '%d.%d MiB' $((${1:-0} >> 20)) $(((${1:-0} & 0xfffff) * 10 >> 20)); }
