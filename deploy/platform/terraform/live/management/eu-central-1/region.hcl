locals {
  region  = "eu-central-1"
  cluster = "management"
  cidr    = "10.4.0.0/16"
}
