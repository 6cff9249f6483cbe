locals {
  name = "canary"
  zone = "canary.example.com"
}
