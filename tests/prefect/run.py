#!/usr/bin/env python3
"""The real prefect command, which ends when its standard input does: with the test that started it, however that ended.

    python run.py server start --port 4200
    python run.py worker start --type kubernetes --pool POOL

It runs in this very process, so a signal for it reaches it.
"""

import os
import runpy
import sys
import threading


def end_with_input():
    while os.read(0, 4096):
        pass
    os._exit(0)


threading.Thread(target=end_with_input, daemon=True).start()
sys.argv[0] = "prefect"
runpy.run_module("prefect", run_name="__main__", alter_sys=True)
