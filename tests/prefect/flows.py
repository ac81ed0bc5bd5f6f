"""Flows of the tests, as a team has them in its image; what a run does is in its parameters."""

import socket
import time

from prefect import flow


@flow(log_prints=True)
def work(seconds: float = 0, fail: bool = False, memory_mib: int = 0):
    """Works for some seconds, a line each, and ends as asked."""
    here = socket.gethostname()  # the pod's name
    print(f"started on {here}")
    held = bytearray(memory_mib << 20)
    held[::4096] = b"x" * len(held[::4096])
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        time.sleep(min(1, max(0, end - time.monotonic())))
        count += 1
        print(f"step {count} on {here}")
    if fail:
        raise ValueError("the numbers do not add up")
    print(f"done on {here}")
    return count


@flow(log_prints=True, retries=2, retry_delay_seconds=1)
def stubborn(good_attempt: int = 3):
    """Fails until Prefect has started it often enough."""
    from prefect.runtime import flow_run

    print(f"attempt {flow_run.run_count}")
    if flow_run.run_count < good_attempt:
        raise ValueError(f"attempt {flow_run.run_count} is not good enough")
