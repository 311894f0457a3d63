#!/usr/bin/env bash
# Installs the peers that interop/ tests Ottla with: kcat, Apache Kafka with its
# tools and Java clients, and the clients for Python and Node. Versions are
# pinned by interop/java/pom.xml, interop/python/requirements.txt and
# interop/node/package-lock.json.
#
# kcat, Java, Maven, Python, npm and the ext4 tools are system packages: as root on
# Debian the script installs them with apt. Everything else goes into .peers (or
# $OTTLA_PEERS_DIR). The script reports missing peers, and their tests skip. It then
# fails only with OTTLA_PEERS=required. A second run does nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${OTTLA_PEERS_DIR:-$PWD/.peers}
mkdir -p "$dir"
missing=()

have() { command -v "$1" >/dev/null 2>&1; }

# system COMMAND PACKAGE: check that a command exists; install it with apt if possible.
system() {
  have "$1" && return 0
  if [ "$(id -u)" = 0 ] && have apt-get; then
    [ -n "${updated:-}" ] || apt-get update -qq
    updated=1
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >/dev/null
    hash -r
  fi
  have "$1" || missing+=("$1")
  have "$1"
}

# part NAME INPUT INSTALL: run INSTALL unless it has been run with the same INPUT.
part() {
  local stamp="$dir/$1/.stamp" want
  want=$(cksum <"$2")
  if [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then return 0; fi
  echo "installing $1 peers into $dir/$1"
  rm -rf "${dir:?}/$1"
  mkdir -p "$dir/$1"
  if "$3" "$dir/$1"; then
    echo "$want" >"$stamp"
  else
    missing+=("$1 packages")
  fi
}

install_java() {
  mvn -q -B -f interop/java/pom.xml \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -Dstyle.color=never -DoutputDirectory="$1"
}

install_python() {
  python3 -m venv "$1" && "$1/bin/pip" install -q --disable-pip-version-check -r interop/python/requirements.txt
}

install_node() {
  cp interop/node/package.json interop/node/package-lock.json interop/node/.npmrc "$1/"
  (cd "$1" && npm ci --silent --ignore-scripts)
}

system kcat kcat || true
# The power loss test mounts a disk.
system mkfs.ext4 e2fsprogs || true
system mount mount || true
if system java default-jdk-headless && system javac default-jdk-headless && system mvn maven; then
  part java interop/java/pom.xml install_java
fi
if system python3 python3-venv; then
  part python interop/python/requirements.txt install_python
fi
if system npm npm; then
  part node interop/node/package-lock.json install_node
fi

if [ ${#missing[@]} -gt 0 ]; then
  echo "missing peers (their tests will skip): ${missing[*]}" >&2
  [ "${OTTLA_PEERS:-}" != required ] || exit 1
fi
