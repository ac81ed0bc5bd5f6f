"""A Prefect flow. Its image must hold prefect; `submit` reads the flow's name without running it.

    sbrun submit --size small examples/prefect_flow.py
"""

import sys

try:
    from prefect import flow, task
except ImportError:
    sys.exit("this flow needs Prefect, which the image does not hold: `pip install prefect` in its Dockerfile")


@task(retries=2, retry_delay_seconds=1)
def square(number):
    return number * number


@flow(name="sum-of-squares", log_prints=True)
def main(numbers=10):
    total = sum(square(number) for number in range(numbers))
    print(f"the sum of the first {numbers} squares is {total}")
    return total


if __name__ == "__main__":
    main()
