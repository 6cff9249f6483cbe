mock_provider "aws" {}

variables {
  zone_id = "Z0000000000000"
  name    = "hello.example.com"
  email   = "platform@example.com"
  regions = {
    eu-central-1 = "hello.eu-central-1.example.com"
    eu-west-1    = "hello.eu-west-1.example.com"
  }
}

run "each_region_has_a_record_and_a_health_check" {
  command = plan

  override_resource {
    target          = aws_route53_health_check.this["eu-central-1"]
    override_during = plan
    values          = { id = "central" }
  }

  override_resource {
    target          = aws_route53_health_check.this["eu-west-1"]
    override_during = plan
    values          = { id = "west" }
  }

  assert {
    condition     = { for region, record in aws_route53_record.this : region => [record.name, record.alias[0].name, record.health_check_id] } == { eu-central-1 = ["hello.example.com", "hello.eu-central-1.example.com", "central"], eu-west-1 = ["hello.example.com", "hello.eu-west-1.example.com", "west"] }
    error_message = "A region's record does not point to it, or has another region's health check."
  }

  assert {
    condition     = alltrue([for region, record in aws_route53_record.this : record.latency_routing_policy[0].region == region])
    error_message = "A record is not of its region."
  }

  assert {
    condition     = alltrue([for check in aws_route53_health_check.this : check.type == "HTTPS" && check.resource_path == "/readyz" && check.enable_sni && check.request_interval * check.failure_threshold <= 30])
    error_message = "A region is not asked for /readyz over HTTPS, by its name, so that 30 s are enough to notice."
  }

  assert {
    condition     = { for region, alarm in aws_cloudwatch_metric_alarm.this : region => alarm.dimensions.HealthCheckId } == { eu-central-1 = "central", eu-west-1 = "west" } && alltrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.region == "us-east-1"])
    error_message = "A region has no alarm where Route 53 has its metrics."
  }
}
