# Run a command whose writes to the function tracer's files go nowhere: trace-cmd sets them back
# even when only events are recorded, and gives up on hosts that permit that to nobody. The files
# are covered in a mount namespace of the command's own; run me by `unshare -m sh`.
# usage: without_function_tracer.sh CMD ARGS...
tracefs=/sys/kernel/tracing
folder=$(mktemp -d)
echo 1 >"$folder/on"
: >"$folder/none"
mount --bind "$folder/on" /proc/sys/kernel/ftrace_enabled
for name in set_ftrace_pid set_ftrace_filter set_ftrace_notrace set_graph_function set_graph_notrace
do
  [ ! -e $tracefs/$name ] || mount --bind "$folder/none" $tracefs/$name
done
"$@"
status=$?
umount /proc/sys/kernel/ftrace_enabled $tracefs/set_* 2>/dev/null
rm -r "$folder"
exit $status
