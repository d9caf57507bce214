"""Collector ``ftrace``: all trace events of the workload's tasks, as raw ring buffer pages.

An instance of its own under tracefs, limited to the workload's tasks by ``set_event_pid`` with
``options/event-fork`` (children are followed) or open to the whole system. Nothing is turned into
text while recording: one thread a CPU moves sub-buffers from ``trace_pipe_raw`` to a file.

Layout of ``raw/ftrace/`` (reader ``ftrace-pages``). Once the capture is closed each file may carry
``.zst`` behind its name; a file that is empty or that the kernel does not offer is left out.

``info.json``
    ``{"clock": "mono", "page_bytes": 4096, "endian": "little", "long_bytes": 8, "cpus": [0, 1],
    "scope": "tasks" | "system", "roots": [PID], "gate": PID | null}``. ``page_bytes`` is the size
    of one sub-buffer, header included. ``gate`` is the task that waited for kfoot and then
    executed the command: its records before its first ``sched:sched_process_exec`` are kfoot's.
``cpuN.pages``
    The sub-buffers of CPU N in order, ``page_bytes`` each, as ``trace_pipe_raw`` gave them (the
    last one of a CPU is padded with zeros behind its ``commit``). The file's size is a multiple
    of ``page_bytes`` unless kfoot was killed while it wrote.
``header_page.txt``, ``header_event.txt``
    ``events/header_page`` and ``events/header_event``.
``formats.txt``
    Of every enabled event a line ``# SYSTEM/NAME``, then its ``format`` file unchanged (so the
    next line is ``name: NAME``), then an empty line.
``printk_formats.txt``, ``saved_cmdlines.txt``, ``saved_tgids.txt``
    The files of these names at the top of tracefs, read when the recording ended. The kernel
    keeps only some hundred task names: prefer those in ``sched_process_exec``,
    ``task:task_newtask``, ``task:task_rename`` and ``sched_switch``.
``tasks.txt``
    Tasks that were there when the recording began and that it follows (all, for the whole
    system): ``TID<tab>TGID<tab>PPID<tab>COMM`` a line; control characters and backslashes in
    COMM are written ``\\xNN``.
``stats.txt``
    A line ``# cpuN``, then ``per_cpu/cpuN/stats`` as it stood after the last read.

Records are in the clock ``mono`` (CLOCK_MONOTONIC, nanoseconds). The common fields are as in
every format file: ``common_pid`` is the thread, ``common_flags`` and ``common_preempt_count`` tell
interrupt context.
"""

from __future__ import annotations
