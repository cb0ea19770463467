# shellcheck shell=bash
# The guest's first file system, as cpio archives that the kernel unpacks one after the other.
# Needs packages.sh.

# The directory of the unpacked kernel's modules: Debian 13 has it under /usr.
kernel_modules() { find "$1" -path '*lib/modules/*' -prune | head -n 1; }

# The package behind Debian's linux-image-cloud-amd64; nothing when the lists do not know it.
cloud_kernel() {
  apt-cache depends linux-image-cloud-amd64 2>/dev/null |
    sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1 || true
}

# put_binary ROOT FILE…: each program and the libraries it is linked with, at the same paths.
put_binary() {
  local root=$1 program file
  shift
  for program in "$@"; do
    program=$(command -v "$program")
    for file in "$program" $(ldd "$program" | grep -o '/[^ ]*'); do
      install -D -m 755 "$(realpath "$file")" "$root$file"
    done
  done
}

# pack_cpio ROOT ARCHIVE BUSYBOX: busybox packs it, so that cpio need not be installed.
pack_cpio() {
  (cd "$1" && find . | LC_ALL=C sort | "$3" cpio -o -H newc -R 0:0) >"$2" 2>/dev/null
}

# build_base BUILD OUT
build_base() {
  local build=$1 out=$2 kernel root=$1/root modules release module
  kernel=$(cloud_kernel)
  if [[ -z $kernel ]]; then
    packages_refresh
    kernel=$(cloud_kernel)
  fi
  [[ -n $kernel ]] || stop 'no cloud kernel in the package lists (linux-image-cloud-amd64)'
  packages_install mkfs.ext4=e2fsprogs mkfs.xfs=xfsprogs
  packages_unpack "$build/debs" "$kernel" busybox-static
  cp "$build"/debs/boot/vmlinuz-* "$out/vmlinuz"
  cp "$(find "$build/debs" -path '*bin/busybox' | head -1)" "$out/busybox"

  mkdir -p "$root"/{bin,sbin,usr/bin,usr/sbin,proc,sys,dev,mnt,tmp,run,etc}
  local applet
  for applet in $("$out/busybox" --list); do ln -s busybox "$root/bin/$applet"; done
  cp --remove-destination "$out/busybox" "$root/bin/busybox"
  # busybox's shell runs its own mke2fs, blkdiscard and fstrim whatever PATH says: scripts that
  # want the real ones name them by their path.
  put_binary "$root" mke2fs mkfs.ext4 e2fsck mkfs.xfs xfs_repair blkdiscard fstrim
  install -m 755 "$lib/guest-init.sh" "$root/init"

  modules=$(kernel_modules "$build/debs")
  release=$(basename "$modules")
  for module in virtio_pci virtio_blk qemu_fw_cfg xfs virtio virtio_ring virtio_pci_modern_dev \
    virtio_pci_legacy_dev libcrc32c crc32c_generic crc32c-intel \
    dm-mod dm-crypt xts aesni-intel crypto_simd cryptd; do
    find "$modules" -name "$module.ko*" | while read -r file; do
      mkdir -p "$root/lib/modules/$release"
      case $file in
        *.xz) "$out/busybox" xz -dc "$file" >"$root/lib/modules/$release/$module.ko" ;;
        *) cp "$file" "$root/lib/modules/$release/" ;;
      esac
    done
  done
  cp "$modules"/modules.{builtin,order} "$root/lib/modules/$release/"
  "$out/busybox" depmod -b "$root" "$release"
  pack_cpio "$root" "$out/guest.cpio" "$out/busybox"
}

# build_fio BUILD OUT BASE: eighty megabytes of libraries, hence apart from guest.cpio.
build_fio() {
  local build=$1 out=$2 base=$3
  packages_install fio=fio
  put_binary "$build/root" fio
  pack_cpio "$build/root" "$out/fio.cpio" "$base/busybox"
}

# The Xen libraries that Debian's kexec is linked with (and theirs): names differ from release to release.
kexec_libraries() {
  apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances \
    kexec-tools | grep -E '^lib(xen|yajl)' | sort -u
}

# build_kexec BUILD OUT BASE: only unpacked; installed it would take part in the machine's own reboots.
build_kexec() {
  local build=$1 out=$2 base=$3 file
  # shellcheck disable=SC2046
  packages_unpack "$build/debs" kexec-tools $(kexec_libraries)
  install -D -m 755 "$build/debs/sbin/kexec" "$build/root/sbin/kexec"
  for file in $(LD_LIBRARY_PATH="$build/debs/usr/lib/x86_64-linux-gnu" ldd "$build/debs/sbin/kexec" | grep -o '/[^ ]*'); do
    install -D -m 755 "$(realpath "$file")" "$build/root${file#"$build/debs"}"
  done
  pack_cpio "$build/root" "$out/kexec.cpio" "$base/busybox"
}

# What cryptsetup is linked with and a machine without it may not have: names differ from release to release.
cryptsetup_libraries() {
  apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances \
    cryptsetup-bin | grep -E '^lib(argon2|cryptsetup|devmapper|json-c|popt)' | sort -u
}

# build_crypt BUILD OUT BASE: only unpacked; the machine itself needs none of it.
build_crypt() {
  local build=$1 out=$2 base=$3 file program
  # shellcheck disable=SC2046
  packages_unpack "$build/debs" cryptsetup-bin $(cryptsetup_libraries)
  program=$(find "$build/debs" -path '*sbin/cryptsetup')
  install -D -m 755 "$program" "$build/root/sbin/cryptsetup"
  local libraries=$build/debs/usr/lib/x86_64-linux-gnu:$build/debs/lib/x86_64-linux-gnu
  for file in $(LD_LIBRARY_PATH="$libraries" ldd "$program" | grep -o '/[^ ]*'); do
    install -D -m 755 "$(realpath "$file")" "$build/root${file#"$build/debs"}"
  done
  pack_cpio "$build/root" "$out/crypt.cpio" "$base/busybox"
}
