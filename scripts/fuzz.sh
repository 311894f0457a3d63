#!/usr/bin/env bash
# fuzz.sh [TIME [PACKAGE…]] runs every fuzz target of the packages (default: all of
# the module) for the time given (default: 1m), one after the other; it stops at
# the first that finds something.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-1m}
packages=("${@:2}")
for package in $(go list "${packages[@]:-./...}"); do
    for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
        echo "fuzz $package $target for $time"
        go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package"
    done
done
