"""The smallest flow: plain Python, a few lines of output, arguments.

On this machine:   sbrun submit --local --size small examples/hello.py
On the cluster:    sbrun submit --size small examples/hello.py -- Ana Ben
"""

import os
import platform
import sys
import time


def main(names):
    print(f"hello from {platform.node()}, Python {platform.python_version()}, {os.cpu_count()} CPUs")
    for name in names:
        print(f"hello {name}")
        time.sleep(0.2)
    print("done")


if __name__ == "__main__":
    main(sys.argv[1:] or ["world"])
