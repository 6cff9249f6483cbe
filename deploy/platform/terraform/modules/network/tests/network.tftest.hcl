mock_provider "aws" {}

variables {
  name         = "canary"
  region       = "eu-central-1"
  cidr         = "10.1.0.0/16"
  nat_per_zone = false
  logs_key_arn = "arn:aws:kms:eu-central-1:000000000000:key/logs"
}

run "the_plan_of_addresses_is_kept" {
  command = plan

  assert {
    condition     = output.private_cidr_blocks == ["10.1.0.0/19", "10.1.32.0/19", "10.1.64.0/19"]
    error_message = "Nodes and pods are not where the plan has them."
  }

  assert {
    condition     = [for zone in keys(aws_subnet.public) : aws_subnet.public[zone].cidr_block] == ["10.1.96.0/24", "10.1.97.0/24", "10.1.98.0/24"]
    error_message = "Public load balancers are not where the plan has them."
  }

  assert {
    condition     = output.database_cidr_blocks == ["10.1.128.0/22", "10.1.132.0/22", "10.1.136.0/22"]
    error_message = "Databases are not where the plan has them."
  }
}

run "load_balancers_find_their_subnets" {
  command = plan

  assert {
    condition     = alltrue([for subnet in aws_subnet.public : subnet.tags["kubernetes.io/role/elb"] == "1" && subnet.tags["kubernetes.io/cluster/canary"] == "shared"])
    error_message = "A public subnet lacks a tag that the load balancer controller looks for."
  }

  assert {
    condition     = alltrue([for subnet in aws_subnet.private : subnet.tags["kubernetes.io/role/internal-elb"] == "1" && subnet.tags["kubernetes.io/cluster/canary"] == "shared"])
    error_message = "A private subnet lacks a tag that the load balancer controller looks for."
  }

  assert {
    condition     = alltrue([for subnet in aws_subnet.database : length(subnet.tags) == 1])
    error_message = "A database's subnet has a tag by which the cluster may find it."
  }
}

run "one_nat_gateway_serves_all" {
  command = plan

  assert {
    condition     = keys(aws_nat_gateway.this) == ["eu-central-1a"] && length(aws_route.nat) == 3
    error_message = "There is not one NAT gateway, with a route to it from each zone."
  }
}

run "each_zone_has_a_nat_gateway" {
  command = plan

  variables {
    nat_per_zone        = true
    interface_endpoints = ["sts", "secretsmanager"]
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 3
    error_message = "A zone has no NAT gateway of its own."
  }

  assert {
    condition     = length(aws_vpc_endpoint.interface) == 2 && alltrue([for rule in aws_vpc_security_group_ingress_rule.endpoints : rule.from_port == 443 && rule.to_port == 443])
    error_message = "The endpoints are not those that are named, on port 443."
  }
}

run "a_smaller_network_is_refused" {
  command = plan

  variables {
    cidr = "10.1.0.0/20"
  }

  expect_failures = [var.cidr]
}
