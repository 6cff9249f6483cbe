mock_provider "aws" {
  override_during = plan

  mock_resource "aws_security_group" {
    defaults = { id = "sg-own" }
  }
}

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
  clients                = ["10.0.0.0/19", "10.3.0.0/19"]
  pods                   = 48
  key_arn                = "arn:aws:kms:eu-central-1:000000000000:key/database"
  logs_key_arn           = "arn:aws:kms:eu-central-1:000000000000:key/logs"
}

run "tls_is_forced_and_logs_have_no_personal_data" {
  command = plan

  assert {
    condition = alltrue([for name, value in {
      "rds.force_ssl"                     = "1"
      "log_statement"                     = "none"
      "log_min_duration_statement"        = "-1"
      "log_min_error_statement"           = "panic"
      "log_error_verbosity"               = "terse"
      "log_parameter_max_length"          = "0"
      "log_parameter_max_length_on_error" = "0"
    } : contains([for parameter in aws_db_parameter_group.this.parameter : "${parameter.name}=${parameter.value}"], "${name}=${value}")])
    error_message = "Postgres takes connections without TLS, or logs statements and what is in them."
  }

  assert {
    condition     = aws_db_instance.this.parameter_group_name == aws_db_parameter_group.this.name
    error_message = "The instance has other settings."
  }
}

run "every_pod_has_its_connections" {
  command = plan

  assert {
    condition     = one([for parameter in aws_db_parameter_group.this.parameter : tonumber(parameter.value) if parameter.name == "max_connections"]) >= 48 * 64
    error_message = "Spin's connections of all pods are more than Postgres takes."
  }
}

run "it_outlives_a_zone_and_a_mistake" {
  command = plan

  assert {
    condition     = aws_db_instance.this.multi_az && aws_db_instance.this.deletion_protection && !aws_db_instance.this.skip_final_snapshot && !aws_db_instance.this.delete_automated_backups && aws_db_instance.this.backup_retention_period == 35
    error_message = "The database goes with a zone or with one command, or cannot be restored."
  }
}

run "pods_alone_reach_it" {
  command = plan

  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.clients : "${rule.cidr_ipv4} ${rule.from_port}-${rule.to_port}"]) == toset(["10.0.0.0/19 5432-5432", "10.3.0.0/19 5432-5432"])
    error_message = "Others than the named networks reach Postgres, or another port."
  }

  assert {
    condition     = !aws_db_instance.this.publicly_accessible && aws_db_instance.this.vpc_security_group_ids == toset(["sg-own"])
    error_message = "The database is public, or has a security group besides its own."
  }

  assert {
    condition     = aws_db_instance.this.storage_encrypted && aws_db_instance.this.kms_key_id == "arn:aws:kms:eu-central-1:000000000000:key/database" && aws_db_instance.this.performance_insights_kms_key_id == aws_db_instance.this.kms_key_id
    error_message = "What is stored, or seen of it, is not encrypted with the database's key."
  }
}

run "the_internet_is_refused" {
  command = plan

  variables {
    clients = ["0.0.0.0/0"]
  }

  expect_failures = [var.clients]
}
