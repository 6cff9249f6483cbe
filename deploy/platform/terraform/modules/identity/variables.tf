variable "cluster" {
  description = "Name of the EKS cluster. It has to be there: its OIDC provider vouches for the service accounts."
  type        = string
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "account" {
  description = "AWS account."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account))
    error_message = "account has twelve digits."
  }
}

variable "components" {
  description = "What runs in the cluster and has a role, of those in components.tf."
  type        = set(string)

  validation {
    condition = length(setsubtract(var.components, [
      "argocd", "atlantis", "aws-load-balancer-controller", "capa", "cert-manager", "cluster-autoscaler",
      "ebs-csi", "external-dns", "external-secrets", "hello-backup", "loki", "mimir", "velero",
    ])) == 0
    error_message = "components has a name that components.tf does not."
  }
}

variable "zone" {
  description = "The stage's public zone: its name, as Route 53 names it, and the names in it that are Terraform's."
  type = object({
    name     = string
    id       = string
    reserved = optional(list(string), [])
  })
}

variable "keys" {
  description = "KMS keys of this region, by purpose."
  type = object({
    secrets = string
    volumes = string
  })
}

variable "buckets" {
  description = "Buckets, by purpose (backups, backups-copy, metrics, logs): name, region, and KMS key."
  type = map(object({
    name    = string
    region  = string
    key_arn = string
  }))
  default = {}

  validation {
    condition = alltrue([for component, purpose in { hello-backup = "backups", velero = "backups", mimir = "metrics", loki = "logs" } :
      !contains(var.components, component) || contains(keys(var.buckets), purpose)
    ])
    error_message = "hello-backup and velero need the bucket of backups, mimir that of metrics, and loki that of logs."
  }
}

variable "visited" {
  description = "Clusters that Argo CD and Cluster API work on from this one: their AWS accounts, by name."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(var.visited) > 0 || !contains(var.components, "argocd")
    error_message = "argocd needs clusters to work on."
  }
}

variable "terraform_accounts" {
  description = "AWS accounts in which Atlantis plans and applies, each as its role hello-terraform."
  type        = set(string)
  default     = []

  validation {
    condition     = length(var.terraform_accounts) > 0 || !contains(var.components, "atlantis")
    error_message = "atlantis needs accounts to work in."
  }
}
