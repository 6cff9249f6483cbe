variable "identifier" {
  description = "The instance's name."
  type        = string
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "engine_version" {
  description = "Exact version of Postgres."
  type        = string

  validation {
    condition     = can(regex("^17\\.[0-9]+$", var.engine_version))
    error_message = "engine_version is one of 17, with its minor number."
  }
}

variable "instance_class" {
  description = "The machine. It holds max_connections, some 64 a pod, beside its cache."
  type        = string
}

variable "storage" {
  description = "GiB at first, and at most: RDS adds by itself."
  type        = object({ first = number, most = number })
}

variable "owner" {
  description = "The role that owns the database. The entry in Secrets Manager has to name the same one as `username`."
  type        = string
  default     = "hello_owner"
}

variable "owner_secret" {
  description = "Entry in Secrets Manager with the owner's `password`. A person has to have written it before."
  type        = string
  default     = "hello/database-owner"
}

variable "owner_password_version" {
  description = "One more than before has the password read, and set, anew."
  type        = number
  default     = 1
}

variable "backup_days" {
  description = "Days to any moment of which the database can be restored."
  type        = number
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
}

variable "pods" {
  description = "Pods that are connected at most: of all clusters, and of two versions at a swap."
  type        = number
}

variable "key_arn" {
  description = "KMS key of the storage, the snapshots and Performance Insights."
  type        = string
}

variable "logs_key_arn" {
  description = "KMS key of the logs."
  type        = string
}
