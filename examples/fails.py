"""Fails by itself: outcome `failed`, and sbrun exits with the flow's own code.

    sbrun submit --size small examples/fails.py; echo $?
"""

import sys

print("reading the input")
print("the input has no rows", file=sys.stderr)
sys.exit(7)
