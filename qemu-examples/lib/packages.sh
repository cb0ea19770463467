# shellcheck shell=bash
# Tools from Debian: installed when a command is missing, or only unpacked into a directory when
# the machine itself does not need them (a kernel, a boot loader, the guest's busybox).
# Needs say.sh.

as_root() {
  if ((EUID == 0)); then
    "$@"
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo -n "$@"
  else
    return 1
  fi
}

packages_refresh() {
  as_root apt-get update -qq >&2 || stop 'apt-get update failed (it needs root)'
}

# with_fresh_lists COMMAND…: quiet; once more with new package lists when it fails, since lists
# may be empty (containers, new machines) or name versions that are gone.
with_fresh_lists() {
  local said
  said=$("$@" 2>&1) && return
  packages_refresh
  said=$("$@" 2>&1) && return
  tail -n 5 <<<"$said" >&2
  return 1
}

# packages_install COMMAND=PACKAGE…: installs the packages whose command is not there.
packages_install() {
  local pair missing=()
  for pair in "$@"; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
  done
  ((${#missing[@]})) || return 0
  local install=(apt-get install -y -qq --no-install-recommends "${missing[@]}")
  command -v apt-get >/dev/null || stop "install these first (Debian names): ${missing[*]}"
  as_root true || stop "run this as root first: ${install[*]}"
  say_step "Installing ${missing[*]}" >&2
  with_fresh_lists as_root env DEBIAN_FRONTEND=noninteractive "${install[@]}" ||
    stop "could not install ${missing[*]}"
}

# packages_unpack DIR PACKAGE…: the packages' files under DIR; nothing is installed.
packages_unpack() {
  local into=$1 debs deb
  shift
  command -v apt-get >/dev/null || stop "needs apt-get (a Debian machine) to fetch: $*"
  debs=$(mktemp -d)
  # Root's apt-get would otherwise try to download as a user who may not write there.
  if ! with_fresh_lists env -C "$debs" apt-get download -qq -o APT::Sandbox::User=root "$@"; then
    rm -rf "$debs"
    stop "could not download $*"
  fi
  for deb in "$debs"/*.deb; do dpkg -x "$deb" "$into"; done
  rm -rf "$debs"
}
