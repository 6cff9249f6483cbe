variable "name" {
  description = "Name of the connection: one network, and the other."
  type        = string
}

variable "requester" {
  description = "The network that asks: its route tables, and the addresses that the other side may reach. Databases' are left out where the other side has none of its own business with them."
  type = object({
    vpc_id                  = string
    private_route_table_ids = map(string)
    private_cidr_blocks     = list(string)
    database = optional(object({
      route_table_id = string
      cidr_blocks    = list(string)
    }))
  })
}

variable "accepter" {
  description = "The network that is asked, likewise."
  type = object({
    vpc_id                  = string
    private_route_table_ids = map(string)
    private_cidr_blocks     = list(string)
    database = optional(object({
      route_table_id = string
      cidr_blocks    = list(string)
    }))
  })
}

variable "accepter_account" {
  description = "AWS account of the network that is asked."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.accepter_account))
    error_message = "accepter_account has twelve digits."
  }
}

variable "accepter_region" {
  description = "AWS region of the network that is asked."
  type        = string
}

variable "accepter_role_arn" {
  description = "Role of Terraform in that account."
  type        = string
}
