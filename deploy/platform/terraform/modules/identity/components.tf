# Who may have a role, as namespace:name, and what the role may do. One role a component, named
# <cluster>-<component>, which the component's service account names in its annotation.

locals {
  all = {
    argocd = {
      service_accounts = ["argocd:argocd-application-controller", "argocd:argocd-server"]
      policy           = local.argocd
    }
    atlantis = {
      service_accounts = ["atlantis:atlantis"]
      policy           = local.atlantis
    }
    aws-load-balancer-controller = {
      service_accounts = ["aws-load-balancer-controller:aws-load-balancer-controller"]
      policy           = local.load_balancers
    }
    capa = {
      service_accounts = ["capa-system:capa-controller-manager"]
      policy           = local.capa
    }
    cert-manager = {
      service_accounts = ["cert-manager:cert-manager"]
      policy           = local.cert_manager
    }
    cluster-autoscaler = {
      service_accounts = ["cluster-autoscaler:cluster-autoscaler"]
      policy           = local.cluster_autoscaler
    }
    ebs-csi = {
      service_accounts = ["kube-system:ebs-csi-controller-sa"]
      policy           = local.ebs_csi
    }
    external-dns = {
      service_accounts = ["external-dns:external-dns"]
      policy           = local.external_dns
    }
    external-secrets = {
      service_accounts = ["external-secrets:external-secrets"]
      policy           = local.external_secrets
    }
    hello-backup = {
      service_accounts = ["hello:hello-backup"]
      policy           = local.hello_backup
    }
    loki = {
      service_accounts = ["loki:loki"]
      policy           = local.stores["logs"]
    }
    mimir = {
      service_accounts = ["mimir:mimir"]
      policy           = local.stores["metrics"]
    }
    velero = {
      service_accounts = ["velero:velero"]
      policy           = local.velero
    }
  }

  components = { for name, component in local.all : name => component if contains(var.components, name) }

  ec2  = "arn:aws:ec2:${var.region}:${var.account}"
  zone = "arn:aws:route53:::hostedzone/${var.zone.id}"

  # What a component here is not given is never output; the name only has to be there.
  nowhere = { name = "", region = var.region, key_arn = "" }
}
