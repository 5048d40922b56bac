// The rules, alerts and dashboards of push-exporter, as other mixins have them: prometheusRules, prometheusAlerts and
// grafanaDashboards, with the settings of config.libsonnet.
(import 'config.libsonnet')
+ (import 'alerts/alert.libsonnet')
+ (import 'alerts/deliveries.libsonnet')
+ (import 'alerts/polling.libsonnet')
+ (import 'alerts/exporter.libsonnet')
+ (import 'rules/recording.libsonnet')
+ (import 'dashboards/dashboards.libsonnet')
