mock_provider "aws" {}

variables {
  zone        = "example.com"
  delegations = { "dev.example.com" = ["ns-1.example.net", "ns-2.example.net"] }
}

run "one_authority_issues" {
  command = plan

  assert {
    condition     = [for record in aws_route53_record.caa.records : record if startswith(record, "0 issue ")] == ["0 issue \"letsencrypt.org; validationmethods=dns-01\""]
    error_message = "Not Let's Encrypt alone issues, and by DNS-01."
  }
}

run "zones_below_are_delegated" {
  command = plan

  assert {
    condition     = aws_route53_record.delegation["dev.example.com"].type == "NS" && length(aws_route53_record.delegation["dev.example.com"].records) == 2
    error_message = "dev.example.com is not delegated to its name servers."
  }
}
