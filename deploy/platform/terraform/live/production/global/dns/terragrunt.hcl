include "root" {
  path = find_in_parent_folders("root.hcl")
}

include "dns" {
  path           = find_in_parent_folders("_envcommon/dns.hcl")
  merge_strategy = "deep"
}

dependency "canary_zone" {
  config_path = "../../../canary/global/dns"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    name_servers = ["ns.example.net"]
  }
}

dependency "dev_zone" {
  config_path = "../../../dev/global/dns"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    name_servers = ["ns.example.net"]
  }
}

dependency "platform_zone" {
  config_path = "../../../management/global/dns"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    name_servers = ["ns.example.net"]
  }
}

inputs = {
  delegations = {
    "canary.example.com"   = dependency.canary_zone.outputs.name_servers
    "dev.example.com"      = dependency.dev_zone.outputs.name_servers
    "platform.example.com" = dependency.platform_zone.outputs.name_servers
  }
}
