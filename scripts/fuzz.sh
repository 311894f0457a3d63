#!/usr/bin/env bash
# Runs every fuzz target of the module for the time given (default 1m), one
# after the other; stops at the first that finds something.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-1m}
for package in $(go list ./...); do
    for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
        echo "fuzz $package $target for $time"
        go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package"
    done
done
