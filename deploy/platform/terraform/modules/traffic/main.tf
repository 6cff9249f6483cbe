# Clients go to the nearest region that is healthy. When none is, Route 53 takes all of them to be
# healthy and answers as before: there is no name that says nothing, and a Postgres that is down,
# which makes /readyz fail in every region at once, does not send anybody anywhere else.
resource "aws_route53_health_check" "this" {
  for_each          = var.regions
  type              = "HTTPS"
  fqdn              = each.value
  port              = 443
  resource_path     = "/readyz"
  enable_sni        = true
  request_interval  = 10
  failure_threshold = 3
  # Three are the least. Not one of them decides: a region is healthy while 18 % of checkers say so.
  regions = ["ap-southeast-1", "eu-west-1", "us-east-1"]
  tags    = { Name = each.value }
}

resource "aws_route53_record" "this" {
  #checkov:skip=CKV2_AWS_23:it points to a record in the zone, which External-DNS writes
  for_each        = var.regions
  zone_id         = var.zone_id
  name            = var.name
  type            = "A"
  set_identifier  = each.key
  health_check_id = aws_route53_health_check.this[each.key].id

  latency_routing_policy {
    region = each.key
  }

  alias {
    zone_id                = var.zone_id
    name                   = each.value
    evaluate_target_health = true
  }
}

# Route 53 has its metrics in us-east-1, wherever the checkers are.
resource "aws_sns_topic" "this" {
  #checkov:skip=CKV_AWS_26:a message says which region is unhealthy, which anybody can see
  region = "us-east-1"
  name   = "hello-traffic"
}

resource "aws_sns_topic_subscription" "this" {
  region    = "us-east-1"
  topic_arn = aws_sns_topic.this.arn
  protocol  = "email"
  endpoint  = var.email
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each            = var.regions
  region              = "us-east-1"
  alarm_name          = "${each.value} is unhealthy"
  alarm_description   = "Route 53 sends nobody to ${each.key}: docs/runbooks/RegionFailover.md"
  namespace           = "AWS/Route53"
  metric_name         = "HealthCheckStatus"
  dimensions          = { HealthCheckId = aws_route53_health_check.this[each.key].id }
  statistic           = "Minimum"
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  period              = 60
  evaluation_periods  = 2
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.this.arn]
  ok_actions          = [aws_sns_topic.this.arn]
}
