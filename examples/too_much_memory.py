"""Takes more memory than its size allows, to see what that looks like: outcome `out_of_memory`, exit code 137.

    sbrun submit --size small examples/too_much_memory.py
    sbrun submit --local --memory 256Mi examples/too_much_memory.py -- 1024
"""

import sys
import time

STEP = 32  # MiB


def main(limit):
    held = []
    while len(held) * STEP < limit:
        held.append(b"x" * (STEP << 20))  # written to: memory that is only reserved costs nothing
        print(f"holding {len(held) * STEP} MiB")
        time.sleep(0.02)
    print(f"nobody minded {limit} MiB")


if __name__ == "__main__":
    # An end of its own, for machines on which nothing sets a limit.
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 16384)
