mock_provider "aws" {
  override_during = plan
}

variables {
  identifier     = "hello"
  region         = "eu-central-1"
  engine_version = "17.7"
  instance_class = "db.r7g.xlarge"
  storage        = { first = 100, most = 500 }
  # Mocks have no ephemeral resources.
  owner_secret = null
  backup_days  = 35
  network      = { vpc_id = "vpc-one", subnet_ids = ["subnet-a", "subnet-b", "subnet-c"] }
  clients      = ["10.0.0.0/19"]
  pods         = 48
  key_arn      = "arn:aws:kms:eu-central-1:000000000000:key/database"
  logs_key_arn = "arn:aws:kms:eu-central-1:000000000000:key/logs"
}

run "it_outlives_a_zone_and_a_mistake" {
  command = plan

  assert {
    condition     = aws_db_instance.this.multi_az && aws_db_instance.this.deletion_protection && !aws_db_instance.this.skip_final_snapshot && !aws_db_instance.this.delete_automated_backups
    error_message = "The database goes with a zone, or with one command."
  }

  assert {
    condition     = aws_db_instance.this.backup_retention_period == 35
    error_message = "It cannot be restored to a moment of the last 35 days."
  }
}

run "nobody_reads_it_but_pods" {
  command = plan

  assert {
    condition     = !aws_db_instance.this.publicly_accessible && aws_db_instance.this.vpc_security_group_ids == toset([module.home.security_group_id])
    error_message = "The database is public, or has a security group besides its own."
  }

  assert {
    condition     = aws_db_instance.this.storage_encrypted && aws_db_instance.this.kms_key_id == "arn:aws:kms:eu-central-1:000000000000:key/database" && aws_db_instance.this.performance_insights_kms_key_id == aws_db_instance.this.kms_key_id
    error_message = "What is stored, or seen of it, is not encrypted with the database's key."
  }

  assert {
    condition     = aws_db_instance.this.password == null && aws_db_instance.this.manage_master_user_password == null
    error_message = "The password would be in the state, or there could be no replica."
  }
}

run "a_version_without_its_minor_number_is_refused" {
  command = plan

  variables {
    engine_version = "17"
  }

  expect_failures = [var.engine_version]
}
