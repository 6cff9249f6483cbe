mock_provider "aws" {}

variables {
  account  = "000000000000"
  region   = "eu-west-1"
  purposes = ["backups", "cluster", "database", "logs", "secrets", "storage", "volumes"]
}

run "each_key_is_of_one_service" {
  command = plan

  assert {
    condition     = alltrue([for key in aws_kms_key.this : key.enable_key_rotation])
    error_message = "A key is not rotated."
  }

  assert {
    condition = alltrue(flatten([for purpose, service in { backups = "s3", database = "rds", secrets = "secretsmanager", storage = "s3", volumes = "ec2" } : [
      for statement in jsondecode(aws_kms_key.this[purpose].policy).Statement :
      statement.Condition.StringEquals["kms:ViaService"] == "${service}.eu-west-1.amazonaws.com" if statement.Sid != "Management"
    ]]))
    error_message = "A key can be used past the service that it is for."
  }

  assert {
    condition     = alltrue([for purpose in ["cluster", "logs"] : !strcontains(aws_kms_key.this[purpose].policy, "kms:ViaService")])
    error_message = "A key that a service uses in its own name asks for a caller."
  }

  assert {
    condition = alltrue(flatten([for key in aws_kms_key.this : [
      for statement in jsondecode(key.policy).Statement :
      [for action in statement.Action : !can(regex("^kms:(\\*|Decrypt|Encrypt|Generate|ReEncrypt|CreateGrant)", action))] if statement.Sid == "Management"
    ]]))
    error_message = "Who manages a key can use it."
  }
}

run "a_disk_is_encrypted_by_default" {
  command = plan

  assert {
    condition     = aws_ebs_encryption_by_default.this.enabled && keys(aws_ebs_default_kms_key.this) == ["volumes"]
    error_message = "A disk that nobody thinks of is not encrypted with the key of volumes."
  }
}

run "an_unknown_purpose_is_refused" {
  command = plan

  variables {
    purposes = ["everything"]
  }

  expect_failures = [var.purposes]
}
