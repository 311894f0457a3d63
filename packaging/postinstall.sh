#!/bin/sh
# After the files are there. An upgrade restarts a node that runs; a first
# installation starts nothing: systemctl enable --now ottla does.
set -e
if [ ! -d /var/lib/ottla ]; then
	install -d -m 0750 -o ottla -g ottla /var/lib/ottla
fi
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart ottla.service || true
fi
