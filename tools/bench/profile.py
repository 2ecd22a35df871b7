# SPDX-License-Identifier: MIT
"""Reads pprof files: a decoder of the few fields that are needed, which shares nothing with the encoder."""

import gzip
from dataclasses import dataclass, field


def _fields(data):
    """(number, value) of each field of a message: an int, or bytes."""
    at, end = 0, len(data)

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < end:
        tag = varint()
        if tag & 7 == 0:
            yield tag >> 3, varint()
        elif tag & 7 == 2:
            size = varint()
            yield tag >> 3, data[at:at + size]
            at += size
        else:
            raise ValueError("a wire type that pprof files do not have")


def _packed(value):
    """A repeated number: packed, or one of several fields."""
    if isinstance(value, int):
        return [value]
    numbers, number, shift = [], 0, 0
    for byte in value:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
    return numbers


@dataclass
class Frame:
    file: str  # the path of the object
    offset: int  # in it
    functions: list  # names, the innermost inlined one first; empty if there is no name


@dataclass
class Profile:
    types: list = field(default_factory=list)
    samples: list = field(default_factory=list)  # ([Frame, ...] leaf first, [value, ...])
    comments: list = field(default_factory=list)
    starts: set = field(default_factory=set)  # (path of an object, address of its first byte)

    def total(self, name):
        return sum(values[self.types.index(name)] for _, values in self.samples)


def read(path):
    with gzip.open(path) as packed:
        data = packed.read()
    strings, functions, mappings, locations = [], {}, {}, {}
    samples, types, comments = [], [], []
    for number, value in _fields(data):
        if number == 6:
            strings.append(value.decode(errors="replace"))
        elif number == 1:
            types.append(dict(_fields(value)).get(1, 0))
        elif number == 2:
            samples.append(value)
        elif number == 13:
            comments += _packed(value)
        elif number == 3:
            mapping = dict(_fields(value))
            mappings[mapping[1]] = (mapping.get(5, 0), mapping.get(2, 0) - mapping.get(4, 0))
        elif number == 5:
            function = dict(_fields(value))
            functions[function[1]] = function.get(2, 0)
        elif number == 4:
            place, lines = {}, []
            for key, part in _fields(value):
                if key == 4:
                    lines.append(dict(_fields(part)).get(1, 0))
                else:
                    place[key] = part
            locations[place[1]] = (place.get(3, 0), place.get(2, 0), lines)
    frames = {}
    for number, (address, mapping, lines) in locations.items():
        path, start = mappings.get(mapping, (0, 0))
        frames[number] = Frame(strings[path], address - start, [strings[functions[line]] for line in lines])
    profile = Profile([strings[t] for t in types], comments=[strings[c] for c in comments],
                      starts={(strings[path], start) for path, start in mappings.values()})
    for sample in samples:
        stack, values = [], []
        for number, value in _fields(sample):
            if number == 1:
                stack += _packed(value)
            elif number == 2:
                values += _packed(value)
        profile.samples.append(([frames[location] for location in stack], values))
    return profile
