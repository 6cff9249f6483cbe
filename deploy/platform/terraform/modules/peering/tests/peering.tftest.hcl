mock_provider "aws" {}

mock_provider "aws" {
  alias = "accepter"
}

variables {
  name              = "one-other"
  accepter_account  = "000000000000"
  accepter_region   = "eu-central-1"
  accepter_role_arn = "arn:aws:iam::000000000000:role/hello-terraform"

  requester = {
    vpc_id                  = "vpc-one"
    private_route_table_ids = { a = "rtb-one-a", b = "rtb-one-b" }
    private_cidr_blocks     = ["10.3.0.0/19"]
  }
  accepter = {
    vpc_id                  = "vpc-other"
    private_route_table_ids = { a = "rtb-other-a" }
    private_cidr_blocks     = ["10.0.0.0/19"]
    database                = { route_table_id = "rtb-other-database", cidr_blocks = ["10.0.128.0/22"] }
  }
}

run "each_way_has_its_routes_and_no_more" {
  command = plan

  assert {
    condition = toset([for route in aws_route.requester : "${route.route_table_id} ${route.destination_cidr_block}"]) == toset([
      "rtb-one-a 10.0.0.0/19", "rtb-one-b 10.0.0.0/19",
      "rtb-one-a 10.0.128.0/22", "rtb-one-b 10.0.128.0/22",
    ])
    error_message = "Pods of the first network do not reach the other's pods and databases alone."
  }

  assert {
    condition = toset([for route in aws_route.accepter : "${route.route_table_id} ${route.destination_cidr_block}"]) == toset([
      "rtb-other-a 10.3.0.0/19", "rtb-other-database 10.3.0.0/19",
    ])
    error_message = "The other network's pods and databases do not answer the first one's pods alone."
  }

  assert {
    condition     = aws_vpc_peering_connection_options.requester.requester[0].allow_remote_vpc_dns_resolution && aws_vpc_peering_connection_options.accepter.accepter[0].allow_remote_vpc_dns_resolution
    error_message = "A name of one network is not a private address in the other."
  }
}
