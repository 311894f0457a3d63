#!/bin/sh
# Before the files are there: the user that the service runs as.
set -e
if ! getent group ottla >/dev/null; then
	groupadd --system ottla
fi
if ! getent passwd ottla >/dev/null; then
	useradd --system --gid ottla --home-dir /var/lib/ottla --no-create-home --shell /usr/sbin/nologin ottla
fi
