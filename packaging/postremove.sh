#!/bin/sh
# After the files went. Records stay, also on purge, and so does the user that owns
# them: a package manager is no place to delete acknowledged data.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
if [ "$1" = purge ] && [ -d /var/lib/ottla ]; then
	echo "The data stays in /var/lib/ottla. To delete it: rm -r /var/lib/ottla; userdel ottla"
fi
