"""Reads what Rust's standard tools do not: YAML and PromQL. Each prints JSON.

    read.py yaml FILE       its one document
    read.py promql          of each expression of a JSON list on stdin, its selectors:
                            [[name, [label, ...]], ...], or what is wrong with it
"""

import json
import sys

import promql_parser
from ruamel.yaml import YAML


def selectors(expression):
    found = []

    def visit(node):
        if isinstance(node, promql_parser.VectorSelector):
            matchers = [(m.name, m.value) for m in node.matchers.matchers]
            name = node.name or dict(matchers).get("__name__")
            found.append([name, [key for key, _ in matchers if key != "__name__"]])

    try:
        promql_parser.walk(promql_parser.parse(expression), visit)
    except ValueError as error:
        return str(error)
    return found


if sys.argv[1] == "yaml":
    with open(sys.argv[2], encoding="utf-8") as file:
        print(json.dumps(YAML(typ="safe").load(file)))
else:
    print(json.dumps([selectors(expression) for expression in json.load(sys.stdin)]))
