# sbrun: size=small
"""A flow of several files: its modules and its data travel with it, nothing needs an image of its own.

    sbrun submit examples/multi/flow.py
    sbrun submit --dry-run examples/multi/flow.py      shows what is sent
"""

import csv

from greetings import styles
from greetings.shout import shout

# The flow's folder is the working directory, here and in the pod.
PEOPLE = "data/people.csv"


def main():
    with open(PEOPLE, encoding="utf-8", newline="") as file:
        for person in csv.DictReader(file):
            greeting = styles.GREETINGS[person["language"]]
            print(shout(f"{greeting} {person['name']}"))


if __name__ == "__main__":
    main()
