# Shared by the scripts beside it; sourced by bash with `set -euo pipefail`.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)

# Below a prefix: what was put there, a line a file, and a line with a slash at its end for each folder that was made.
installed=share/evenkeel/installed

say() { printf '%s\n' "$*" >&2; }

# need COMMAND PACKAGE: finds the command, or says what brings it.
need() {
  command -v "$1" >/dev/null && return
  say "$1 is missing; on Debian or Ubuntu: apt-get install $2"
  exit 1
}

# stripped FROM TO MODE: a copy without what only a debugger reads.
stripped() {
  need strip binutils
  install -D -m "$3" /dev/null "$2"
  strip --strip-debug -o "$2" "$1"
}
