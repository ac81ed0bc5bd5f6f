"""A progress bar that redraws its line, as tqdm and pip do: it arrives as it is.

    sbrun submit --size small examples/progress.py
"""

import sys
import time

WIDTH = 40

for step in range(WIDTH + 1):
    sys.stdout.write(f"\r[{'#' * step}{'.' * (WIDTH - step)}] {100 * step // WIDTH:3d} %")
    sys.stdout.flush()
    time.sleep(0.05)
print("\nfinished")
