// Alerts about the exporter itself. What to do: RUNBOOK.md, by the name of the alert. They need no name of a job: an
// exporter is what has shown push_exporter_build_info within a week. With --web.disable-exporter-metrics it shows none, and
// these alerts are of no use.
{
  local config = $._config,
  prometheusAlerts+:: {
    groups+: [
      {
        name: 'push-exporter',
        interval: '1m',
        rules: std.flattenArrays([
          $.alert(
            'PushExporterDown',
            {
              expr: 'up%(where)s == 0 and on (job, instance) last_over_time(push_exporter_build_info%(where)s[1w])' % config,
              'for': '3m',
              severity: 'critical',
              summary: 'The push exporter {{ $labels.instance }} cannot be scraped',
              description: |||
                Scrapes of {{ $labels.instance }} (job {{ $labels.job }}) have been failing for three minutes. Counters
                catch up when it is back.
              |||,
              dashboard: 'push-exporter',
              variables: ['job', 'instance'],
            },
          ),
          $.alert(
            'PushExporterAbsent',
            {
              expr: 'absent(push_exporter_build_info%(where)s)' % config,
              'for': '15m',
              severity: 'critical',
              summary: 'No push exporter is scraped',
              description: |||
                For a quarter of an hour Prometheus has had no numbers of any push exporter: none is running, or none
                is among its targets.
              |||,
              dashboard: 'push-exporter',
              variables: [],
            },
          ),
          $.alert(
            'PushLedgerFailing',
            {
              expr: 'push_exporter_ledger_up%(where)s == 0' % config,
              'for': '1m',
              severity: 'critical',
              summary: 'The push exporter {{ $labels.instance }} cannot write its ledger',
              description: |||
                {{ with printf "increase(push_exporter_ledger_errors_total{job=%q, instance=%q}[10m])" $labels.job $labels.instance | query }}{{ . | first | value | printf "%.0f" }} errors in ten minutes. {{ end }}Polling pauses, and /metrics keeps its last values (with PostgreSQL only until the lease ends). Both resume when the ledger can be written.
              |||,
              dashboard: 'push-exporter',
              variables: ['job', 'instance'],
            },
          ),
          $.alert(
            'PushConfigReloadFailed',
            {
              expr: 'push_exporter_config_last_reload_successful%(where)s == 0' % config,
              'for': '5m',
              severity: 'warning',
              summary: 'The push exporter {{ $labels.instance }} runs with an old configuration',
              description: |||
                The last reload failed; what was loaded {{ with printf "time() - push_exporter_config_last_reload_success_timestamp_seconds{job=%q, instance=%q}" $labels.job $labels.instance | query }}{{ . | first | value | humanizeDuration }} ago {{ end }}goes on. A restart would fail.
              |||,
              dashboard: 'push-exporter',
              variables: ['job', 'instance'],
            },
          ),
          $.alert(
            'PushTaskPanicked',
            {
              expr: 'sum by (job, instance) (increase(push_exporter_task_panics_total%(where)s[1h])) > 0' % config,
              severity: 'warning',
              summary: 'A task of the push exporter {{ $labels.instance }} has panicked',
              description: |||
                {{ $value | printf "%.0f" }} panics in an hour. They are contained and tried again; each is a bug worth
                a report.
              |||,
              dashboard: 'push-exporter',
              variables: ['job', 'instance'],
            },
          ),
          $.alert(
            'PushAppsUnowned',
            {
              expr: 'max by (job) (push_exporter_apps_unowned%(where)s) > 0' % config,
              'for': '2m',
              severity: 'critical',
              summary: 'Apps that no replica polls: {{ $value | printf "%.0f" }}',
              description: |||
                No replica of the job {{ $labels.job }} has owned {{ $value | printf "%.0f" }} of the configured apps
                for two minutes. They are neither polled nor shown. The status page of any replica lists them.
              |||,
              dashboard: 'push-exporter',
              variables: ['job'],
            },
          ),
          $.alert(
            'PushLeaseNotRenewed',
            {
              expr: 'increase(push_exporter_lease_renewals_total%(where)s[2m]) == 0 and push_exporter_lease_renewals_total%(where)s > 0' % config,
              'for': '1m',
              severity: 'warning',
              summary: 'The replica {{ $labels.instance }} cannot renew its lease',
              description: |||
                {{ $labels.instance }} (job {{ $labels.job }}) has not renewed its lease in the database for three
                minutes. It neither polls nor shows any app. The other replicas take over if they can reach the
                database.
              |||,
              dashboard: 'push-exporter',
              variables: ['job', 'instance'],
            },
          ),
          $.alert(
            'PushTakeoversRepeat',
            {
              expr: 'sum by (job) (increase(push_exporter_takeovers_total%(where)s[1h])) > %(takeovers)g * sum by (job) (push_exporter_apps_owned%(where)s) > 0' % config,
              severity: 'warning',
              summary: 'The replicas of {{ $labels.job }} keep taking apps over from each other',
              description: |||
                {{ $value | printf "%.0f" }} takeovers in an hour: on average every app has moved more than four times.
                A rollout moves each app once or twice.
              |||,
              dashboard: 'push-exporter',
              variables: ['job'],
            },
          ),
          $.alert(
            'PushSendersRefused',
            {
              expr: 'sum by (job, instance, code) (increase(push_exporter_http_requests_total{%(whereAnd)shandler="messages", code=~"4.."}[15m])) > %(sendersRefused)g' % config,
              severity: 'warning',
              summary: 'Senders of message ids are refused with {{ $labels.code }} by {{ $labels.instance }}',
              description: |||
                {{ $value | printf "%.0f" }} requests that register message ids were refused in a quarter of an hour.
                What they registered is not counted. The status page of the exporter lists the senders with their last
                errors.
              |||,
              dashboard: 'push-exporter',
              variables: ['job', 'instance'],
            },
          ),
          $.alert(
            'PushLogLinesDropped',
            {
              expr: 'sum by (job, instance) (increase(push_exporter_log_lines_dropped_total%(where)s[1h])) > 0' % config,
              severity: 'info',
              summary: 'The log of {{ $labels.instance }} is incomplete',
              description: |||
                {{ $value | printf "%.0f" }} lines were dropped in an hour, because nobody reads standard error fast
                enough. Polls and scrapes go on.
              |||,
              dashboard: 'push-exporter',
              variables: ['job', 'instance'],
            },
          ),
          // A renewal that works replaces a certificate weeks before its end.
          $.alert(
            'PushWebCertificateExpires',
            {
              expr: 'push_exporter_web_certificate_expiry_timestamp_seconds%(where)s - time() < %(webCertificateDays)g * 86400' % config,
              'for': '1h',
              severity: 'warning',
              summary: 'The web certificate of {{ $labels.instance }} {{ if gt $value 0.0 }}expires in {{ $value | humanizeDuration }}{{ else }}has expired{{ end }}',
              description: |||
                Once it has expired, Prometheus and senders of message ids refuse to connect. Replace the file that cert_file of the web
                configuration names; it is read again by itself.
              |||,
              dashboard: 'push-exporter',
              variables: ['job', 'instance'],
            },
          ),
        ]),
      },
    ],
  },
}
