mock_provider "aws" {}

variables {
  names    = ["hello/database", "platform/grafana"]
  account  = "000000000000"
  key_arn  = "arn:aws:kms:eu-central-1:000000000000:key/secrets"
  readers  = ["production-eu-central-1-external-secrets"]
  replicas = { eu-west-1 = "arn:aws:kms:eu-west-1:000000000000:key/secrets" }
}

run "readers_are_named" {
  command = plan

  assert {
    condition     = alltrue([for policy in aws_secretsmanager_secret_policy.this : jsondecode(policy.policy).Statement[0].Condition.ArnNotEquals["aws:PrincipalArn"] == ["arn:aws:iam::000000000000:role/production-eu-central-1-external-secrets"]])
    error_message = "Somebody else than the named role reads a value."
  }

  assert {
    condition     = alltrue([for secret in aws_secretsmanager_secret.this : one(secret.replica).kms_key_id == "arn:aws:kms:eu-west-1:000000000000:key/secrets" && secret.recovery_window_in_days == 30])
    error_message = "An entry has no copy with the other region's key, or cannot be recovered."
  }
}

run "other_names_are_refused" {
  command = plan

  variables {
    names = ["billing/card"]
  }

  expect_failures = [var.names]
}
