"""Run a command and write its own wall time in nanoseconds to a file: what a tracer around it
costs the command, without the tracer's start and end.

timed.py FILE CMD ARGS...
"""

import os
import sys
import time

target, *command = sys.argv[1:]
began = time.perf_counter_ns()
_, status = os.waitpid(os.posix_spawnp(command[0], command, os.environ), 0)
took = time.perf_counter_ns() - began
with open(target, "w") as file:
    file.write(str(took))
sys.exit(os.waitstatus_to_exitcode(status) & 0xFF)
