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

# Package lists may be empty (containers, fresh installs); fetch them once per run at most.
packages_refresh() {
  as_root apt-get update -qq >&2 || stop "apt-get update failed (root or passwordless sudo is needed)"
}

# packages_install COMMAND=PACKAGE…: installs the packages whose command is not there.
packages_install() {
  local pair missing=()
  for pair in "$@"; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
  done
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || stop "missing: ${missing[*]} (Debian package names); install them"
  as_root true || stop "run this as root first: apt-get install --no-install-recommends ${missing[*]}"
  say_step "Installing ${missing[*]}" >&2
  local log
  log=$(mktemp)
  local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends)
  if ! as_root "${install[@]}" "${missing[@]}" >"$log" 2>&1; then
    packages_refresh
    if ! as_root "${install[@]}" "${missing[@]}" >"$log" 2>&1; then
      tail -5 "$log" >&2
      rm -f "$log"
      stop "could not install ${missing[*]}"
    fi
  fi
  rm -f "$log"
}

# packages_unpack DIR PACKAGE…: the packages' files under DIR; nothing is installed.
packages_unpack() {
  local into=$1 debs
  shift
  command -v apt-get >/dev/null || stop "needs apt-get (a Debian machine) to fetch: $*"
  debs=$(mktemp -d)
  local download=(apt-get download -qq -o APT::Sandbox::User=root)
  if ! (cd "$debs" && "${download[@]}" "$@") >"$debs/log" 2>&1; then
    packages_refresh
    if ! (cd "$debs" && "${download[@]}" "$@") >"$debs/log" 2>&1; then
      tail -5 "$debs/log" >&2
      rm -rf "$debs"
      stop "could not download $*"
    fi
  fi
  local deb
  for deb in "$debs"/*.deb; do dpkg -x "$deb" "$into"; done
  rm -rf "$debs"
}
