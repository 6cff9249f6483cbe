variable "identifier" {
  description = "The instance's name."
  type        = string
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "source_arn" {
  description = "The instance that this one is a replica of. Null: this one writes."
  type        = string
  default     = null
}

variable "engine_version" {
  description = "Exact version of Postgres, of what writes."
  type        = string
  default     = null
}

variable "owner" {
  description = "The role that owns the database, of what writes."
  type        = string
  default     = null
}

variable "owner_password" {
  description = "The owner's password, of what writes. It is in no state and no plan."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true
}

variable "owner_password_version" {
  description = "One more than before has the password set anew."
  type        = number
  default     = null
}

variable "instance_class" {
  description = "The machine. It holds max_connections, some 64 a pod, beside its cache."
  type        = string
}

variable "storage" {
  description = "GiB at first, and at most: RDS adds by itself."
  type        = object({ first = optional(number), most = number })
}

variable "backup_days" {
  description = "Days to any moment of which the database can be restored."
  type        = number

  validation {
    condition     = var.backup_days >= 7 && var.backup_days <= 35
    error_message = "backup_days is from 7 to RDS's most, 35."
  }
}

variable "maintenance_window" {
  description = "When RDS may restart it, in UTC."
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
  description = "Pods that are connected at most: of all clusters, and of two versions at a swap. A standby with fewer than its source would replay nothing."
  type        = number
}

variable "key_arn" {
  description = "KMS key of the storage, the snapshots and Performance Insights, of this region."
  type        = string
}

variable "logs_key_arn" {
  description = "KMS key of the logs."
  type        = string
}
