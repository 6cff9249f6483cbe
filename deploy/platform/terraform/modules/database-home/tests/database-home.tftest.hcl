mock_provider "aws" {}

variables {
  identifier   = "hello"
  region       = "eu-central-1"
  network      = { vpc_id = "vpc-one", subnet_ids = ["subnet-a", "subnet-b", "subnet-c"] }
  clients      = ["10.0.0.0/19", "10.3.0.0/19"]
  pods         = 48
  logs_key_arn = "arn:aws:kms:eu-central-1:000000000000:key/logs"
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
}

run "every_pod_has_its_connections" {
  command = plan

  assert {
    condition     = one([for parameter in aws_db_parameter_group.this.parameter : tonumber(parameter.value) if parameter.name == "max_connections"]) >= 48 * 64
    error_message = "Spin's connections of all pods are more than Postgres takes."
  }
}

run "pods_alone_connect" {
  command = plan

  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.clients : "${rule.cidr_ipv4} ${rule.from_port}-${rule.to_port}"]) == toset(["10.0.0.0/19 5432-5432", "10.3.0.0/19 5432-5432"])
    error_message = "Others than the named networks reach Postgres, or another port."
  }
}

run "the_internet_is_refused" {
  command = plan

  variables {
    clients = ["0.0.0.0/0"]
  }

  expect_failures = [var.clients]
}
