"""How to greet, by language."""

GREETINGS = {"en": "hello", "de": "guten Tag", "es": "¡buenos días!"}
