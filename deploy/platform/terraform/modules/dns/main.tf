# No query log: Route 53 writes it to us-east-1 alone, and addresses of people in the EU would go
# there. No DNSSEC: clients know the service by its certificate, and the CA behind that asks
# from several networks; a key that is renewed wrongly would make every name unreachable.
resource "aws_route53_zone" "this" {
  #checkov:skip=CKV2_AWS_38:no DNSSEC, see above
  #checkov:skip=CKV2_AWS_39:no query log, see above
  name    = var.zone
  comment = "hello: public"

  lifecycle {
    prevent_destroy = true
  }
}

# Certificates come from one CA, to whoever may write to this zone, and for no wildcard.
resource "aws_route53_record" "caa" {
  zone_id = aws_route53_zone.this.zone_id
  name    = var.zone
  type    = "CAA"
  ttl     = 3600
  records = [
    "0 issue \"letsencrypt.org; validationmethods=dns-01\"",
    "0 issuewild \";\"",
    "0 iodef \"mailto:platform@${var.zone}\"",
  ]
}

resource "aws_route53_record" "delegation" {
  for_each = var.delegations
  zone_id  = aws_route53_zone.this.zone_id
  name     = each.key
  type     = "NS"
  ttl      = 3600
  records  = each.value
}
