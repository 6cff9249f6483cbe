mock_provider "aws" {
  override_during = plan
}

variables {
  identifier     = "hello-replica"
  region         = "eu-west-1"
  source_arn     = "arn:aws:rds:eu-central-1:000000000000:db:hello"
  instance_class = "db.r7g.xlarge"
  storage_most   = 500
  backup_days    = 35
  network        = { vpc_id = "vpc-two", subnet_ids = ["subnet-a", "subnet-b", "subnet-c"] }
  clients        = ["10.0.0.0/19", "10.3.0.0/19"]
  pods           = 48
  key_arn        = "arn:aws:kms:eu-west-1:000000000000:key/database"
  logs_key_arn   = "arn:aws:kms:eu-west-1:000000000000:key/logs"
}

run "it_can_become_the_one_that_writes" {
  command = plan

  assert {
    condition     = aws_db_instance.this.multi_az && aws_db_instance.this.deletion_protection && aws_db_instance.this.backup_retention_period == 35
    error_message = "After a promotion it would lack a second zone, protection, or backups."
  }

  assert {
    condition     = aws_db_instance.this.storage_encrypted && aws_db_instance.this.kms_key_id == "arn:aws:kms:eu-west-1:000000000000:key/database"
    error_message = "It is not encrypted with its own region's key."
  }
}

run "a_source_in_the_same_region_is_refused" {
  command = plan

  variables {
    source_arn = "arn:aws:rds:eu-west-1:000000000000:db:hello"
  }

  expect_failures = [var.source_arn]
}
