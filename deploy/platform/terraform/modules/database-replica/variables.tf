variable "identifier" {
  description = "The replica's name."
  type        = string
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "source_arn" {
  description = "The instance that writes, in another region."
  type        = string

  validation {
    condition     = startswith(var.source_arn, "arn:aws:rds:") && !startswith(var.source_arn, "arn:aws:rds:${var.region}:")
    error_message = "source_arn is of an instance in another region."
  }
}

variable "instance_class" {
  description = "The machine: that of the source, whose load it takes over."
  type        = string
}

variable "storage_most" {
  description = "GiB at most: RDS adds by itself."
  type        = number
}

variable "backup_days" {
  description = "Days to any moment of which the replica can be restored, before it is promoted and after."
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
  description = "Addresses that may connect: the private subnets of clusters in all regions, for after a promotion."
  type        = list(string)
}

variable "pods" {
  description = "Pods that are connected at most. Not fewer than at the source: Postgres replays nothing on a standby that takes fewer connections."
  type        = number
}

variable "key_arn" {
  description = "KMS key of this region."
  type        = string
}

variable "logs_key_arn" {
  description = "KMS key of the logs."
  type        = string
}

variable "email" {
  description = "Who is told that the replica is behind."
  type        = string
}
