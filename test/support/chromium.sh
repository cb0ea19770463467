#!/bin/bash
# Prints the path of a Chromium that can run without a screen; installs Debian's headless one when there is
# none (90 MB, some twenty seconds). Where that cannot be done the last line on standard error says why.
set -euo pipefail
lib=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../qemu-examples/lib" && pwd)
# shellcheck source=../../qemu-examples/lib/say.sh
. "$lib/say.sh"
# shellcheck source=../../qemu-examples/lib/packages.sh
. "$lib/packages.sh"

for name in chromium-headless-shell chromium; do
  if command -v "$name"; then exit; fi
done
packages_install chromium-headless-shell=chromium-headless-shell
command -v chromium-headless-shell
