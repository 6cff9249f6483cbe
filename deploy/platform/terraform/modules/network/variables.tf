variable "name" {
  description = "Name of the network and of the EKS cluster in it."
  type        = string
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "cidr" {
  description = "Addresses of the network, a /16. The subnets are cut out of it."
  type        = string

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && endswith(var.cidr, "/16")
    error_message = "cidr is an IPv4 network with /16."
  }
}

variable "nat_per_zone" {
  description = "Whether each zone has a NAT gateway of its own. One for all is cheaper, and its zone takes the others with it."
  type        = bool
}

variable "interface_endpoints" {
  description = "AWS services that are reached without the NAT gateways, such as `sts`. Each costs by the hour and zone, so they pay where traffic to them is heavy or has to go on when a NAT gateway does not."
  type        = set(string)
  default     = []

  validation {
    condition     = length(setsubtract(var.interface_endpoints, ["ecr.api", "ecr.dkr", "sts", "secretsmanager"])) == 0
    error_message = "interface_endpoints are of ecr.api, ecr.dkr, sts and secretsmanager."
  }
}

variable "logs_key_arn" {
  description = "KMS key of the flow logs."
  type        = string
}
