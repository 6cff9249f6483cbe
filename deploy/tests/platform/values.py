"""Prints the values that a Helm chart knows, with those of its subcharts, as JSON.

A key that stands in a comment alone (`# key:`) is known, and may have anything below it.
"""

import json
import pathlib
import re
import sys
import tarfile
import tempfile

import yaml


def values_of(chart):
    if chart.is_file():
        with tempfile.TemporaryDirectory() as directory, tarfile.open(chart) as archive:
            archive.extractall(directory, filter="data")
            (unpacked,) = pathlib.Path(directory).iterdir()
            return values_of(unpacked)
    text = (chart / "values.yaml").read_text() if (chart / "values.yaml").exists() else ""
    values = yaml.safe_load(text) or {}
    add_comments(values, in_comments(text))
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    subcharts = {}
    for subchart in (chart / "charts").glob("*") if (chart / "charts").is_dir() else []:
        if subchart.is_dir() or subchart.suffix == ".tgz":
            subcharts[name_of(subchart)] = values_of(subchart)
    for dependency in about.get("dependencies", []):
        known = subcharts.get(dependency["name"], {})
        alias = dependency.get("alias", dependency["name"])
        values[alias] = merged(values.get(alias) or {}, known)
        for condition in filter(None, dependency.get("condition", "").split(",")):
            below = values
            *path, last = condition.strip().split(".")
            for key in path:
                below = below.setdefault(key, {})
            below.setdefault(last, None)
    values.setdefault("global", {})
    return values


def name_of(chart):
    if chart.is_dir():
        return yaml.safe_load((chart / "Chart.yaml").read_text())["name"]
    return re.sub(r"-v?\d+\..*", "", chart.name)


def merged(ours, theirs):
    if not isinstance(ours, dict) or not isinstance(theirs, dict):
        return ours
    return {**theirs, **{key: merged(value, theirs.get(key)) for key, value in ours.items()}}


def add_comments(values, comments):
    """What is empty stays so: anything may be in it."""
    for key, below in comments.items() if values and isinstance(values, dict) else []:
        add_comments(values.setdefault(key, {}), below)


def in_comments(text):
    """The keys that are commented out, each where its indentation and what is around it put it."""
    found, path = {}, []
    for line in text.splitlines():
        match = re.match(r"^(\s*)(#+\s?)?(\s*)([A-Za-z][\w.-]*):(\s|$)", line)
        if not match:
            continue
        before, comment, after, key, _ = match.groups()
        indent = len(before) + len(after)
        while path and path[-1][0] >= indent:
            path.pop()
        if comment:
            below = found
            for _, name in path:
                below = below.setdefault(name, {})
            below.setdefault(key, {})
        else:
            path.append((indent, key))
    return found


json.dump(values_of(pathlib.Path(sys.argv[1])), sys.stdout, default=str)
