mock_provider "aws" {
  override_during = plan

  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::example" }
  }
}

variables {
  name              = "example"
  account           = "000000000000"
  region            = "eu-central-1"
  key_arn           = "arn:aws:kms:eu-central-1:000000000000:key/backups"
  expire_after_days = { "pg_dump/" = 90 }
  lock_days         = 14
  replica = {
    bucket_arn = "arn:aws:s3:::example-replica"
    key_arn    = "arn:aws:kms:eu-west-1:000000000000:key/backups"
    region     = "eu-west-1"
  }
}

run "nothing_is_public" {
  command = plan

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls,
      aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls,
      aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "The bucket can be made public."
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_s3_bucket_policy.this.policy).Statement : statement.Effect == "Deny"])
    error_message = "The bucket's policy lets somebody in."
  }

  assert {
    condition     = contains([for statement in jsondecode(aws_s3_bucket_policy.this.policy).Statement : try(statement.Condition.Bool["aws:SecureTransport"], "")], "false")
    error_message = "The bucket can be reached without TLS."
  }
}

run "versions_are_kept_and_locked" {
  command = plan

  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled" && aws_s3_bucket.this.object_lock_enabled
    error_message = "What is overwritten is gone."
  }

  assert {
    condition     = aws_s3_bucket_replication_configuration.this[0].rule[0].destination[0].encryption_configuration[0].replica_kms_key_id == "arn:aws:kms:eu-west-1:000000000000:key/backups"
    error_message = "The copies are not encrypted with the key that is beside them."
  }
}

run "a_bucket_of_metrics_has_neither_lock_nor_copy" {
  command = plan

  variables {
    lock_days = null
    replica   = null
  }

  assert {
    condition     = length(aws_s3_bucket_object_lock_configuration.this) + length(aws_s3_bucket_replication_configuration.this) + length(aws_iam_role.replication) == 0
    error_message = "Mimir and Loki could not delete what is old."
  }
}
