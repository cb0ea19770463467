# shellcheck shell=bash
# The trees of xfstests and blktests: whether a directory is one, what state it is in, and how it is built inside the
# image's root. Nothing of theirs is kept in this project. Needs stop, as_root, and $root and $build where it builds.

# tree_is NAME DIR PATH…: stops unless DIR has the paths that make it a source tree of NAME.
tree_is() {
  local name=$1 dir=$2 path
  shift 2
  [[ -d $dir ]] || stop "--$name-dir=$dir: no such directory"
  for path in "$@"; do
    [[ -e $dir/$path ]] || stop "--$name-dir=$dir: no source tree of $name, it has no $path"
  done
}

# is_git DIR: the root of a git tree, and not a folder inside another one.
is_git() {
  git -C "$1" rev-parse --verify -q HEAD >/dev/null 2>&1 && [[ -z $(git -C "$1" rev-parse --show-prefix) ]]
}

# tree_name DIR: the commit, and whether something was changed since.
tree_name() {
  local changes
  if is_git "$1"; then
    git -C "$1" rev-parse HEAD
    changes=$(git -C "$1" status --porcelain --untracked-files=no)
    [[ -z $changes ]] || echo 'with local changes'
  else
    echo 'no git tree'
  fi
}

# tree_state DIR: text that changes when the sources do.
tree_state() {
  [[ -n $1 ]] || return 0
  if is_git "$1"; then
    git -C "$1" rev-parse HEAD
    git -C "$1" diff HEAD
    # A new test that is not in git yet.
    (cd "$1" && git ls-files -z --others --exclude-standard | xargs -r0 stat -c '%n %s %Y')
  else
    (cd "$1" && find . -type f -printf '%P %s %T@\n' | sort)
  fi
}

# in_root COMMAND: a shell in the image's root, with its own /proc and /dev that go when it ends.
in_root() {
  # shellcheck disable=SC2016  # expanded by the inner shell
  as_root unshare --mount --pid --fork --kill-child sh -e -c '
    mount -t proc proc "$0/proc"
    mount --rbind /dev "$0/dev"
    exec chroot "$0" sh -e -c "$1"' "$root" "$1"
}

# copy_tree DIR NAME: sources only, where the tree is a git one; objects of another system would mislead make.
copy_tree() {
  local into=$root/usr/src/$2
  as_root mkdir -p "$into"
  if is_git "$1"; then
    git -C "$1" ls-files -z --cached --others --exclude-standard | tar -C "$1" --null --ignore-failed-read -T - -cf - | as_root tar -C "$into" --no-same-owner -xf -
  else
    tar -C "$1" -cf - . | as_root tar -C "$into" --no-same-owner -xf -
  fi
}

build_xfstests() {
  copy_tree "$1" xfstests
  in_root '
    export LC_ALL=C HOME=/root
    cd /usr/src/xfstests
    make -s -j"$(nproc)"
    make -s install
    cd /
    rm -rf /usr/src/xfstests
    for user in fsgqa fsgqa2 123456-fsgqa; do
      getent passwd "$user" >/dev/null || useradd --badname -m -s /bin/bash "$user" 2>/dev/null ||
        useradd --badnames -m -s /bin/bash "$user"
    done
    find /var/lib/xfstests -type f -perm -u+x -exec strip -g {} + 2>/dev/null || true'
  mkdir -p "$build/out/groups"
  local list
  for list in "$root"/var/lib/xfstests/tests/*/group.list; do
    cp "$list" "$build/out/groups/$(basename "$(dirname "$list")")"
  done
}

build_blktests() {
  copy_tree "$1" blktests
  in_root '
    cd /usr/src/blktests
    make -s -j"$(nproc)"
    rm -rf /opt/blktests
    mkdir -p /opt
    mv /usr/src/blktests /opt/blktests'
  # The cases that take a disk; all others make their own (null_blk, scsi_debug, nvme).
  (cd "$root/opt/blktests/tests" && grep -lE '^test_device\(\)' block/[0-9]*) >"$build/out/blktests-device"
}
