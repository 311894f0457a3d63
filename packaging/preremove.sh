#!/bin/sh
# Before the files go: deb says "remove" or "upgrade", rpm how many versions stay.
set -e
case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now ottla.service || true
	fi
	;;
esac
