"""YAML that costs too much or is none, each text with what is said of it."""

from __future__ import annotations

from src.config.yaml_file import MAX_BYTES

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n + 1}: &a{n + 1} [*a{n}, *a{n}]\n" for n in range(40))
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n + 1}: &a{n + 1}\n  <<: [*a{n}, *a{n}]\n" for n in range(40)
)
HOSTILE = {
    "a day that there is not": ("a: 1\nb: 2020-99-99\n", ":2: .*a date"),
    "a date": ("a: 2020-01-01\n", ":1: .*in quotes"),
    "a word tagged as a number": ("a: 1\n\nb: !!int foo\n", ":3: .*invalid literal"),
    "a hexadecimal number without digits": ("a: 0x_\n", ":1: .*invalid literal"),
    "a number of many digits": ("a: " + "9" * 6000, ":1: .*a number of 6,000 characters"),
    "deep lists": ("[" * 5000, ":1: .*nested deeper than"),
    "deep lists in lines": ("- " * 5000 + "a", ":1: .*nested deeper than"),
    "deep mappings": ("{a: " * 5000, ":1: .*nested deeper than"),
    "aliases of aliases": (BOMB, ":1[0-9]: .*more than 10,000 values"),
    "merges of merges": (MERGES, ":2[0-9]: .*more than 10,000 values"),
    "an alias of what contains it": ("a: &a [1, *a]\n", ":1: .*'a' contains itself"),
    "many values": ("[" + "1," * 50_000 + "]", ":1: .*more than 10,000 values"),
    "a list as a key": ("? [a, b]\n: 1\n", ":1: .*as a key"),
    "an object of Python": ("a: !!python/object/apply:os.system [ls]\n", ":1: .*plain data"),
    "a set": ("a: !!set {x}\n", ":1: .*plain data"),
    "a word with a colon within": ("a: b: c\n", ":1: .*not allowed here"),
    "two documents": ("a: 1\n---\nb: 1\n", ":2: .*another document"),
    "a control character": ("a: \x07\n", "special characters are not allowed"),
    "an unknown escape": ('a: "\\q"\n', ":1: .*unknown escape"),
    "numbers to the base of 60": ("%YAML 1.1\n---\na: " + "1:" * 60_000 + "1", ":3: .*a number of"),
    "too much of it": ("#" * (MAX_BYTES + 1), "more than 262,144 bytes"),
    "a long key": ("k" * 900 + ": 1\n", ""),
    "a long word": ("seed: " + "k" * 200_000 + "\n", ""),
    "many unknown keys": ("".join(f"k{n}: 1\n" for n in range(4000)), ""),
    "many addresses": ("seed: " + "://" * 80_000 + "\n", ""),
    "half a character": ('study: "\\ud800"\n', ""),
    "a study of an endless name": ("study: " + "a" * 9000 + "\n", ""),
}  # fmt: skip
