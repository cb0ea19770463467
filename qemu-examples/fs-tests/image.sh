#!/usr/bin/env bash
# Builds the guest that fs-tests boots, and prints the directory that holds it: vmlinuz, root.img (ext4, booted without an
# initrd), and for xfstests the group lists. Packages come from Debian trixie, xfstests and blktests from the trees given:
#   image.sh [--xfstests DIR] [--blktests DIR]
# Kept in ${XDG_CACHE_HOME:-~/.cache}/vloop by a hash of the recipe and of the trees' state; appears by a rename, so an
# interrupted build leaves nothing that is trusted later. Exit status 3: cannot be built here, one line says why.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PATH=$PATH:/usr/sbin:/sbin
source "$here/../lib/say.sh"
source "$here/../lib/packages.sh"
source "$here/image-trees.sh"

# One line, the status for "not possible here".
stop() {
  printf 'fs-tests image: %s\n' "$*" >&2
  exit 3
}

mirror=${VLOOP_DEBIAN_MIRROR:-http://deb.debian.org/debian}
packages=udev,kmod,procps,iproute2,e2fsprogs,xfsprogs,btrfs-progs,fio,stress-ng,dbench
# What xfstests and blktests call, and what builds them.
tree_packages=acl,attr,bc,bsdextrautils,dmsetup,fdisk,file,gawk,keyutils,libcap2-bin,lvm2,parted,pciutils,perl,psmisc
tree_packages+=,python3-minimal,quota,thin-provisioning-tools,uuid-runtime,xfsdump,passwd,openssl
tree_packages+=,make,gcc,g++,libc6-dev,autoconf,automake,libtool,libtool-bin,pkg-config,gettext,xfslibs-dev,uuid-dev
tree_packages+=,libgdbm-dev,libgdbm-compat-dev,libacl1-dev,libaio-dev,libattr1-dev,liburing-dev,libcap-dev,libssl-dev
tree_packages+=,libblkid-dev,libbtrfs-dev,libbtrfsutil-dev,fsverity,acct,xz-utils
free_needed_kib=$((5 << 20))

xfstests='' blktests=''
while (($#)); do
  case $1 in
    --xfstests) xfstests=$2 ;;
    --blktests) blktests=$2 ;;
    *) stop "unknown argument $1" ;;
  esac
  shift 2
done
[[ -z $xfstests ]] || tree_is xfstests "$xfstests" check common/rc tests/generic
[[ -z $blktests ]] || tree_is blktests "$blktests" check common/rc tests/block
flavour=packaged
[[ -z $xfstests$blktests ]] || flavour=trees
[[ $flavour == packaged ]] || packages+=,$tree_packages

cache=${XDG_CACHE_HOME:-$HOME/.cache}/vloop
recipe=$({
  cat "$here"/{image,image-trees}.sh "$here/guest/init.sh"
  tree_state "$xfstests"
  tree_state "$blktests"
} | sha256sum)
ready=$cache/fs-tests-$flavour-${recipe:0:12}
if [[ -d $ready ]]; then
  touch "$ready"
  echo "$ready"
  exit
fi

mkdir -p "$cache" || stop "cannot make $cache"
exec 9>"$cache/fs-tests.lock"
flock -w 900 9 || stop "another build has held $cache/fs-tests.lock for 15 minutes"
[[ -d $ready ]] && { echo "$ready"; exit; }
free_kib=$(df --output=avail -k "$cache" | tail -n 1)
((free_kib >= free_needed_kib)) ||
  stop "$cache has $((free_kib >> 10)) MiB free, building takes $((free_needed_kib >> 10))"
as_root true || stop 'building an image needs root or passwordless sudo'
packages_install mmdebstrap=mmdebstrap mke2fs=e2fsprogs

log=$cache/fs-tests-build.log
# Left by a build that was killed: whoever has the lock is the only one that builds.
as_root rm -rf --one-file-system "$cache"/.fs-tests-*
build=$(mktemp -d "$cache/.fs-tests-XXXXXX")
root=$build/root
child=''
clean_up() {
  local status=$? tries
  trap - EXIT
  if [[ -n $child ]]; then
    as_root kill -TERM -- "-$child" 2>/dev/null || true
    # All of the group and not only its first: mmdebstrap's children still write into the root, and unmount what is in it.
    for ((tries = 200; tries > 0; tries--)); do
      as_root kill -0 -- "-$child" 2>/dev/null || break
      sleep 0.05
    done
    as_root kill -KILL -- "-$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
  fi
  as_root rm -rf --one-file-system "$build"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# step WHAT COMMAND…: in a process group of its own that a signal takes along; what it says goes to the log.
step() {
  local what=$1 began=$SECONDS status=0
  shift
  printf '%s ... ' "$what" >&2
  set -m
  "$@" >>"$log" 2>&1 9>&- </dev/null &
  child=$!
  set +m
  wait "$child" || status=$?
  child=''
  printf '%d s\n' $((SECONDS - began)) >&2
  ((status == 0)) || stop "$what failed: $(first_error) (all of it: $log)"
}

first_error() {
  { grep -a -m 1 -E '^(E:|Err)|[Ee]rror[: ]|No space left|Failed to fetch' "$log" || tail -n 1 "$log"; } | cut -c1-200
}

# The kernel is unpacked and not installed: its initrd is not wanted.
unpack_kernel() {
  as_root chroot "$root" sh -e -c '
    cd /tmp
    kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n "s/.*Depends: \(linux-image-[0-9].*\)/\1/p" | head -n 1)
    apt-get download -qq -o APT::Sandbox::User=root "$kernel"
    dpkg -x ./*.deb /
    rm ./*.deb'
}

# Under TCG unpacking modules costs seconds, and most are for hardware that is not there.
trim_root() {
  local modules
  modules=$(echo "$root"/usr/lib/modules/*)
  as_root sh -e -c '
    root=$1 modules=$2
    cd "$modules/kernel"
    rm -rf sound net/bluetooth net/mac80211 net/wireless drivers/gpu drivers/usb drivers/infiniband drivers/media \
      drivers/hid drivers/input drivers/net/ethernet drivers/net/wireless
    find . -name "*.ko.xz" -exec unxz -T 0 {} +
    chroot "$root" depmod "${modules##*/}"
    cd "$root"
    rm -rf usr/share/doc usr/share/man usr/share/locale usr/share/info var/lib/apt/lists/* var/cache/apt/* boot/initrd*
    # Only opened on demand, by stressors that are not run here.
    rm -f usr/lib/x86_64-linux-gnu/libLLVM* usr/lib/x86_64-linux-gnu/libgallium*
    rm -rf usr/lib/gcc/*/*/cc1* usr/lib/gcc/*/*/lto* usr/libexec/gcc usr/include usr/lib/x86_64-linux-gnu/*.a
    mkdir -p mnt/test mnt/scratch payload
    : >etc/fstab' sh "$root" "$modules"
  as_root install -m 755 "$here/guest/init.sh" "$root/init.sh"
}

pack_image() {
  local kib
  kib=$(as_root du -sk "$root" | cut -f1)
  as_root mke2fs -q -F -t ext4 -O ^has_journal -m 0 -L root -d "$root" "$build/out/root.img" $((kib * 5 / 4 + 400 * 1024))k
  as_root cp "$root"/boot/vmlinuz-* "$build/out/vmlinuz"
  as_root chown "$(id -u):$(id -g)" "$build/out"/*
}

: >"$log"
mkdir "$build/out"
printf 'Building the guest of fs-tests (once; kept in %s)\n' "$cache" >&2
step 'Debian trixie' as_root mmdebstrap --mode=root --variant=minbase --include="$packages" --dpkgopt=force-unsafe-io \
  --aptopt='APT::Install-Recommends "false"' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --skip=cleanup/apt trixie "$root" "$mirror"
step 'kernel' unpack_kernel
[[ -z $xfstests ]] || step 'xfstests' build_xfstests "$xfstests"
[[ -z $blktests ]] || step 'blktests' build_blktests "$blktests"
step 'what the guest does not need' trim_root
step 'image' pack_image
{
  echo "built $(date -u +%FT%TZ)"
  [[ -z $xfstests ]] || echo "xfstests $(tree_name "$xfstests")"
  [[ -z $blktests ]] || echo "blktests $(tree_name "$blktests")"
} >"$build/out/recipe"
mv -T "$build/out" "$ready"
# Recipes change with the project; what was not used for two weeks goes.
find "$cache" -maxdepth 1 -name 'fs-tests-*-????????????' -mtime +14 -exec rm -rf {} +
echo "$ready"
