#!/usr/bin/env python3
"""The real prefect command, which ends when its standard input does: with the test that started it, however that ended.

    python run.py server start --port 4200
    python run.py worker start --type kubernetes --pool POOL

It runs in this very process, so a signal for it reaches it.

One thing is not as it comes: a server with SQLite waits a minute for a lock. Under many requests at a time it happens
that who waits is who would free the lock, and the server answers nobody for that minute. Here it is a second;
then it answers 503, as ever, and its clients ask again.
"""

import os
import runpy
import sys
import threading


def end_with_input():
    while os.read(0, 4096):
        pass
    os._exit(0)


def wait_less_for_locks():
    from prefect.server.database.configurations import AioSqliteConfiguration

    set_up = AioSqliteConfiguration.setup_sqlite

    def set_up_impatiently(self, connection, record):
        set_up(self, connection, record)
        cursor = connection.cursor()
        cursor.execute("PRAGMA busy_timeout = 1000")
        cursor.close()

    AioSqliteConfiguration.setup_sqlite = set_up_impatiently


threading.Thread(target=end_with_input, daemon=True).start()
if sys.argv[1] == "server":
    wait_less_for_locks()
sys.argv[0] = "prefect"
runpy.run_module("prefect", run_name="__main__", alter_sys=True)
