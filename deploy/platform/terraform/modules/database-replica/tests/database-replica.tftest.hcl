mock_provider "aws" {}

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
  email          = "platform@example.com"
}

run "it_takes_what_a_replica_takes" {
  command = plan

  module {
    source = "../postgres"
  }

  variables {
    storage                = { most = 500 }
    maintenance_window     = "thu:02:30-thu:03:30"
    owner_password_version = 1
  }

  assert {
    condition     = aws_db_instance.this.replicate_source_db == "arn:aws:rds:eu-central-1:000000000000:db:hello"
    error_message = "It is no replica."
  }

  assert {
    condition     = aws_db_instance.this.password_wo_version == null
    error_message = "It is given a password, which it has from its source."
  }
}

run "a_source_in_the_same_region_is_refused" {
  command = plan

  variables {
    source_arn = "arn:aws:rds:eu-west-1:000000000000:db:hello"
  }

  expect_failures = [var.source_arn]
}

run "a_lag_is_told" {
  command = plan

  override_module {
    target  = module.postgres
    outputs = { address = "mock" }
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.lag.dimensions == tomap({ DBInstanceIdentifier = "hello-replica" }) && aws_cloudwatch_metric_alarm.lag.treat_missing_data == "breaching"
    error_message = "Nobody is told when this replica is behind, or has stopped."
  }
}
