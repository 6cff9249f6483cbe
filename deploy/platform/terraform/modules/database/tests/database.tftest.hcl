mock_provider "aws" {}

# Mocks have no ephemeral resources, so these are of the module that the instance is in.
variables {
  identifier             = "hello"
  region                 = "eu-central-1"
  engine_version         = "17.7"
  owner                  = "hello_owner"
  owner_password         = "of-a-test"
  owner_password_version = 1
  instance_class         = "db.r7g.xlarge"
  storage                = { first = 100, most = 500 }
  backup_days            = 35
  maintenance_window     = "tue:02:30-tue:03:30"
  network                = { vpc_id = "vpc-one", subnet_ids = ["subnet-a", "subnet-b", "subnet-c"] }
  clients                = ["10.0.0.0/19"]
  pods                   = 48
  key_arn                = "arn:aws:kms:eu-central-1:000000000000:key/database"
  logs_key_arn           = "arn:aws:kms:eu-central-1:000000000000:key/logs"
}

run "the_password_is_not_in_the_state" {
  command = plan

  module {
    source = "../postgres"
  }

  assert {
    condition     = aws_db_instance.this.password == null && aws_db_instance.this.manage_master_user_password == null && aws_db_instance.this.password_wo_version == 1
    error_message = "The password would be in the state, or there could be no replica."
  }

  assert {
    condition     = aws_db_instance.this.replicate_source_db == null && aws_db_instance.this.engine_version == "17.7"
    error_message = "What writes is a replica, or not of the version that was asked for."
  }
}
