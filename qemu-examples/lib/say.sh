# shellcheck shell=bash
# What an example prints: a headline, steps, results, and one clear line when it has to stop.

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
else
  bold='' dim='' green='' red='' plain=''
fi

say_title() { printf '%s%s%s\n' "$bold" "$*" "$plain"; }
say_step() { printf '%s==>%s %s\n' "$green" "$plain" "$*"; }
say_detail() { printf '    %s%s%s\n' "$dim" "$*" "$plain"; }
say_ok() { printf '%sok%s  %s\n' "$green$bold" "$plain" "$*"; }

# stop MESSAGE…: the message on stderr, exit status 1.
stop() {
  printf '%s%s:%s %s\n' "$red$bold" "$(basename "$0")" "$plain" "$*" >&2
  exit 1
}
