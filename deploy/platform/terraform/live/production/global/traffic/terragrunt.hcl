# After External-DNS has written the regions' names: Route 53 makes no alias to a name that is not there.

include "root" {
  path   = find_in_parent_folders("root.hcl")
  expose = true
}

terraform {
  source = "../../../../modules//traffic"
}

dependency "dns" {
  config_path = "../dns"

  mock_outputs_allowed_terraform_commands = ["validate"]
  mock_outputs = {
    zone_id = "mock"
  }
}

inputs = {
  zone_id = dependency.dns.outputs.zone_id
  name    = "hello.example.com"
  regions = {
    eu-central-1 = "hello.eu-central-1.example.com"
    eu-west-1    = "hello.eu-west-1.example.com"
  }
  email = "platform@example.com"
}
