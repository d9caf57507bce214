#!/bin/sh
# Install the Debian packages that are missing, if root and apt-get are here; say so otherwise.
# usage: packages.sh run|test|bench
set -u
RUN="python3-venv strace graphviz libbpf1"
TEST="$RUN gcc libc6-dev python3-dev gcc-multilib clang llvm libbpf-dev trace-cmd linux-perf mawk
  perl xz-utils chromium poppler-utils busybox-static cpio kmod qemu-system-x86 qemu-system-arm
  seabios openssh-server openssh-client sqlite3 git curl linux-source"
BENCH="$TEST bpftrace zstd"
case "${1:-run}" in
  run) wanted=$RUN ;;
  test) wanted=$TEST ;;
  bench) wanted=$BENCH ;;
  *) echo "usage: $0 run|test|bench" >&2; exit 2 ;;
esac
command -v dpkg-query >/dev/null 2>&1 || exit 0
missing=
for package in $wanted; do
  status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) || status=
  [ "$status" = "install ok installed" ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
  echo "not installed (not root):$missing" >&2
  echo "some parts will be skipped; to have all: sudo apt-get install$missing" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
echo "installing:$missing" >&2
log=$(mktemp)
apt-get update -qq >"$log" 2>&1
# One that this release does not have must not keep the others away.
apt-get install -y -qq --no-install-recommends $missing >>"$log" 2>&1 || {
  for package in $missing; do
    apt-get install -y -qq --no-install-recommends "$package" >>"$log" 2>&1 ||
      echo "could not install $package (see apt-get's own words with: apt-get install $package)" >&2
  done
}
rm -f "$log"
