# shellcheck shell=bash
# Everything an example needs, in the order in which it needs it.

export PATH=$PATH:/usr/sbin:/sbin
examples=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$examples/say.sh"
source "$examples/packages.sh"
source "$examples/work-dir.sh"
source "$examples/backend.sh"
source "$examples/guest.sh"

# new_image NAME SIZE: an empty, sparse image; prints its path.
new_image() {
  truncate -s "$2" "$work/$1"
  echo "$work/$1"
}
