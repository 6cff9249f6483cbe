locals {
  region  = "eu-central-1"
  cluster = "dev"
  cidr    = "10.2.0.0/16"
}
