"""How to be heard."""


def shout(text):
    return text.upper() + "!"
