"""Python with threads, a process pool, sqlite and sockets."""

import multiprocessing
import socket
import sqlite3
import tempfile
import threading


def square(number: int) -> int:
    return number * number


def main() -> None:
    left, right = socket.socketpair()
    thread = threading.Thread(target=lambda: right.sendall(left.recv(10) and b""))
    thread.start()
    right.sendall(b"hello")
    thread.join()
    with tempfile.NamedTemporaryFile() as file, sqlite3.connect(file.name) as base:
        base.execute("create table t (n)")
        base.executemany("insert into t values (?)", ((n,) for n in range(100)))
    with multiprocessing.Pool(2) as pool:
        print(sum(pool.map(square, range(100))))


if __name__ == "__main__":
    main()
