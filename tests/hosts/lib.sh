# Shared by fetch and build; sourced by bash with `set -euo pipefail`.

hosts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${EVENKEEL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/evenkeel}
case $(realpath -m "$cache")/ in
  "$(realpath "$hosts/../..")"/*) echo "EVENKEEL_CACHE must lie outside the source tree: $cache" >&2; exit 1 ;;
esac
mkdir -p "$cache"

say() { printf '%s\n' "$*" >&2; }

# need COMMAND PACKAGE...: finds the command, or installs the packages (root, Debian or Ubuntu), or says how to.
need() {
  local command=$1
  shift
  command -v "$command" >/dev/null && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing $*"
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null ||
      { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null; }
  fi
  command -v "$command" >/dev/null && return
  say "$command is missing; on Debian or Ubuntu: apt-get install $*"
  exit 1
}

# made NAME INPUT...: true when $cache/NAME was completed from exactly these input files.
made() {
  local name=$1
  shift
  [ "$(cat "$cache/$name/.made-from" 2>/dev/null)" = "$(cat "$@" | sha256sum)" ]
}

# finish NAME INPUT...: $cache/NAME.new becomes $cache/NAME, marked with what it was made from.
finish() {
  local name=$1
  shift
  cat "$@" | sha256sum >"$cache/$name.new/.made-from"
  rm -rf "${cache:?}/$name"
  mv "$cache/$name.new" "$cache/$name"
}

# start NAME: an empty folder $cache/NAME.new.
start() {
  rm -rf "${cache:?}/$1.new"
  mkdir -p "$cache/$1.new"
}
