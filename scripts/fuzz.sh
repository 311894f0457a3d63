#!/usr/bin/env bash
# fuzz.sh [TIME [PACKAGE…]] runs every fuzz target of the packages (default: all
# packages of the module) for TIME (default: 1m), one after the other. It stops at
# the first failing input. When the time ends while an input is running, Go's
# fuzzing sometimes fails with only "context deadline exceeded". This is not a
# finding: a finding always names its input.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-1m}
packages=("${@:2}")
output=$(mktemp)
trap 'rm -f "$output"' EXIT
for package in $(go list "${packages[@]:-./...}"); do
    for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
        echo "fuzz $package $target for $time"
        if go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package" 2>&1 | tee "$output"; then
            continue
        fi
        if ! grep -q '^ *context deadline exceeded$' "$output" || grep -q 'Failing input' "$output"; then
            exit 1
        fi
        echo "no finding: the time ended while an input was running"
    done
done
