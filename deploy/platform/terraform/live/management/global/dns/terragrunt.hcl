include "root" {
  path   = find_in_parent_folders("root.hcl")
  expose = true
}

terraform {
  source = "../../../../modules//dns"
}

inputs = {
  zone = include.root.locals.stage.zone
}
