# No account number is in Git. Without one of these, Terragrunt stops.
locals {
  management = get_env("HELLO_ACCOUNT_MANAGEMENT")
  dev        = get_env("HELLO_ACCOUNT_DEV")
  canary     = get_env("HELLO_ACCOUNT_CANARY")
  production = get_env("HELLO_ACCOUNT_PRODUCTION")
}
