variable "account" {
  description = "AWS account, whose IAM policies say who may do what the key's policy allows at all."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account))
    error_message = "account has twelve digits."
  }
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "purposes" {
  description = "What a key is made for, each its own: backups, cluster (the Secrets in EKS), database, logs (CloudWatch), secrets (Secrets Manager), storage (buckets of metrics and logs), volumes (EBS)."
  type        = set(string)

  validation {
    condition     = length(setsubtract(var.purposes, ["backups", "cluster", "database", "logs", "secrets", "storage", "volumes"])) == 0
    error_message = "purposes are of backups, cluster, database, logs, secrets, storage and volumes."
  }
}
