#!/bin/sh
# PostgreSQL's restore_command. It restores nothing: PostgreSQL runs it every 5 s while a standby cannot follow its
# primary. One that asks for the same segment of the log for a minute may be too far behind, and is copied anew then.
tries=/run/postgresql/log-tries
case "$1" in
*.*) exit 1 ;; # the history of a timeline: absent while there is none
esac
segment= count=0
[ ! -e "$tries" ] || read -r segment count < "$tries"
[ "$segment" = "$1" ] || count=0
count=$((count + 1))
echo "$1 $count" > "$tries"
[ $((count % 12)) -ne 0 ] || member copy "$1" >&2
exit 1
