"""Validates Kubernetes objects strictly, without a cluster.

Reads texts on stdin, each behind a line with its length in bytes, and writes for each object of its
YAML documents one JSON object a line: {"object": …, "custom": true, "unchecked": false, "problem": "…"
or null}; for a text that cannot be read, {"refused": "…"}; and an empty line. Kinds of Kubernetes itself
are validated by kubernetes-validate; custom resources by the JSON Schemas in the directories of
--schemas, GROUP/KIND_VERSION.json, the first that has one. A kind that none knows is a problem;
unchecked is one of --undefined, where no directory has its group, and without --schemas every one.
"""

import argparse
import functools
import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import kubernetes_validate.utils as kubernetes
import yaml

# Groups with a dot in their name that Kubernetes itself serves. gateway.networking.k8s.io and its
# like look the same and are custom.
BUILT_IN = {
    f"{name}.k8s.io"
    for name in (
        "admissionregistration",
        "apiextensions",
        "apiregistration",
        "authentication",
        "authorization",
        "certificates",
        "coordination",
        "discovery",
        "events",
        "flowcontrol.apiserver",
        "networking",
        "node",
        "rbac.authorization",
        "resource",
        "scheduling",
        "storage",
    )
}

# They are read anew for each object otherwise, which takes a second.
kubernetes.schema_contents = functools.cache(kubernetes.schema_contents)


class Loader(yaml.CSafeLoader):
    """YAML in which a key stands once: PyYAML takes the last of two and says nothing."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


Loader.add_constructor(
    yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG,
    lambda loader, node: loader.construct_mapping(node, deep=True),
)
# `=` alone is text here as for everybody but YAML 1.1, which nobody here speaks for its sake.
Loader.add_constructor("tag:yaml.org,2002:value", Loader.construct_yaml_str)


def built_in(document, version):
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(map(str, error.path)) or 'the object'}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError:
        return f"Kubernetes {version} has no such kind"
    return None


def custom(document, group, group_version, options):
    """Whether it is unchecked, and its problem."""
    # The schemas leave `metadata` free, and it is the same for every kind.
    metadata = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": document.get("metadata", {})}
    problem = built_in(metadata, options.kubernetes)
    name = f"{group}/{document['kind'].lower()}_{group_version}.json"
    file = next((file for all in options.schemas if (file := all / name).is_file()), None)
    if file:
        for error in schema_of(file).iter_errors(document):
            problem = problem or f"{error.json_path}: {error.message}"
        return False, problem
    known = any((all / group).is_dir() for all in options.schemas)
    unchecked = not options.schemas or group in options.undefined and not known
    return unchecked, problem or (None if unchecked else "no schema knows this kind")


@functools.cache
def schema_of(file):
    return jsonschema.Draft7Validator(json.loads(file.read_text()))


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--kubernetes", required=True)
    arguments.add_argument("--schemas", type=pathlib.Path, action="append", default=[])
    arguments.add_argument("--undefined", action="append", default=[])
    options = arguments.parse_args()
    for schemas in options.schemas:
        if not schemas.is_dir():
            sys.exit(f"{schemas} is no directory with schemas")
    for length in sys.stdin.buffer:
        text = sys.stdin.buffer.read(int(length))
        try:
            for answer in answers(text, options):
                print(json.dumps(answer))
        except (yaml.YAMLError, UnicodeDecodeError, NoObject) as error:
            print(json.dumps({"refused": str(error)}))
        print(flush=True)


class NoObject(Exception):
    """A document that is no object of Kubernetes."""


def answers(text, options):
    for document in yaml.load_all(text, Loader):
        if document is None:
            continue
        if not isinstance(document, dict):
            raise NoObject(f"{document!r} is no object of Kubernetes")
        group, _, version = str(document.get("apiVersion", "")).rpartition("/")
        is_custom = "." in group and group not in BUILT_IN
        unchecked = False
        if not version or not document.get("kind") or not document.get("metadata", {}).get("name"):
            problem = "it lacks apiVersion, kind or metadata.name"
        elif is_custom:
            unchecked, problem = custom(document, group, version, options)
        else:
            problem = built_in(document, options.kubernetes)
        answer = {"object": document, "custom": is_custom}
        yield answer | {"unchecked": unchecked, "problem": problem}


if __name__ == "__main__":
    main()
