variable "cluster" {
  description = "Name of the EKS cluster."
  type        = string
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "account" {
  description = "AWS account of the cluster."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account))
    error_message = "account has twelve digits."
  }
}

variable "management_account" {
  description = "AWS account of the management cluster, whose Cluster API and Argo CD work on this one. Null for the management cluster itself."
  type        = string
  default     = null

  validation {
    condition     = var.management_account == null || can(regex("^[0-9]{12}$", var.management_account))
    error_message = "management_account has twelve digits."
  }
}
