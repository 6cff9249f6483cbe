locals {
  region  = "eu-central-1"
  cluster = "canary"
  cidr    = "10.1.0.0/16"
}
