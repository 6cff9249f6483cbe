variable "identifier" {
  description = "The database's identifier."
  type        = string
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "network" {
  description = "Where the database is: the network, and its subnets for databases."
  type = object({
    vpc_id     = string
    subnet_ids = list(string)
  })
}

variable "clients" {
  description = "Addresses that may connect: the private subnets of clusters."
  type        = list(string)

  validation {
    condition     = alltrue([for cidr in var.clients : can(regex("^10\\.", cidr)) && can(cidrhost(cidr, 0))])
    error_message = "clients are networks in 10.0.0.0/8."
  }
}

variable "pods" {
  description = "Pods that are connected at most: of all clusters, and of two versions at a swap."
  type        = number
}

variable "logs_key_arn" {
  description = "KMS key of the logs."
  type        = string
}
