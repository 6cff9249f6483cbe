# It is ready to be the one that writes: Multi-AZ, protected, and with backups of its own. So the
# source's backups are not replicated as well.
module "postgres" {
  source = "../postgres"

  identifier         = var.identifier
  region             = var.region
  source_arn         = var.source_arn
  instance_class     = var.instance_class
  storage            = { most = var.storage_most }
  backup_days        = var.backup_days
  maintenance_window = "thu:02:30-thu:03:30"
  network            = var.network
  clients            = var.clients
  pods               = var.pods
  key_arn            = var.key_arn
  logs_key_arn       = var.logs_key_arn
}

# What the replica has not got is lost if it is promoted: the lag is the RPO of a failover.
resource "aws_sns_topic" "lag" {
  #checkov:skip=CKV_AWS_26:a message says how far the replica is behind, and nothing of what is in it
  name = "${var.identifier}-lag"
}

resource "aws_sns_topic_subscription" "lag" {
  topic_arn = aws_sns_topic.lag.arn
  protocol  = "email"
  endpoint  = var.email
}

resource "aws_cloudwatch_metric_alarm" "lag" {
  alarm_name          = "${var.identifier} is behind"
  alarm_description   = "For five minutes, a failover would lose more than a minute of saves. Look for a long transaction, or a machine smaller than its source's."
  namespace           = "AWS/RDS"
  metric_name         = "ReplicaLag"
  dimensions          = { DBInstanceIdentifier = var.identifier }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 60
  period              = 60
  evaluation_periods  = 5
  # A replica that has stopped says nothing.
  treat_missing_data = "breaching"
  alarm_actions      = [aws_sns_topic.lag.arn]
  ok_actions         = [aws_sns_topic.lag.arn]
}
