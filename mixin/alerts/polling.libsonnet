// Alerts about what the providers tell: data that are late, ids that do not come, reports that fail, tokens and quotas
// about to bite, numbers that were taken back. Needs recording.yml. What to do: RUNBOOK.md, by the name of the alert.
{
  local config = $._config,

  // A report that was refused twice in a row: within an hour, or an hour ago and still.
  local refused = |||
    push_poll_failing{%(whereAnd)sreason=~"auth|forbidden", scope="", %(reports)s} == 1
      and (
        increase(push_poll_errors_total{%(whereAnd)sreason=~"auth|forbidden"}[1h]) > 1.5
          or push_poll_failing{%(whereAnd)sreason=~"auth|forbidden", scope=""} offset 65m
      )
  |||,

  // A provider that tells of messages: late is what has not changed for so long although messages were pushed in the first hour
  // of it; or what waits for a first number is as many more as were pushed in an hour, while old messages still change.
  local messagesLate(provider, reports, seconds) = $.alert(
    'PushDataLate',
    {
      expr: |||
        min by (job, provider, app) (report:push_data_age:seconds{provider="%(provider)s", report=~"%(reports)s"})
          and on (job, provider, app) (
            min by (job, provider, app) (report:push_data_age:seconds{report=~"%(reports)s"}) > %(seconds)g
              and sum by (job, provider, app) (increase(push_messages_registered_total%(where)s[1h] offset 30m)) >= 3
            or sum by (job, provider, app) (push_tracked_messages{%(whereAnd)sstate="waiting"})
              - sum by (job, provider, app) (push_tracked_messages{%(whereAnd)sstate="waiting"} offset 1h)
              >= 0.9 * (sum by (job, provider, app) (increase(push_messages_registered_total%(where)s[1h])) >= 3)
          )
      ||| % (config { provider: provider, reports: reports, seconds: seconds }),
      'for': '15m',
      severity: 'warning',
      labels: { provider: provider },
      summary: 'No numbers of the newest messages of {{ $labels.app }} from {{ $labels.provider }}',
      description: |||
        {{ $labels.provider }} tells nothing of the messages that {{ $labels.app }} pushed in the last hour.
        The last new number of any message came {{ $value | humanizeDuration }} ago.
      |||,
      dashboard: 'push-exporter',
      variables: ['provider', 'app'],
    },
  ),

  // Numbers that change with every push: late is what is quiet for so long at a time at which, yesterday and a week ago (if that is
  // known), pushes were sent; or for half as long again as ever in the past week.
  local quietLate(provider, seconds, what, brings) = $.alert(
    'PushDataLate',
    {
      expr: |||
        (
          report:push_data_age:seconds{provider="%(provider)s"} > %(seconds)g
            and on (job, provider, app) (
              app:push_messages_sent:increase1h offset 1d > 100
                unless app:push_messages_sent:increase1h offset 1w <= 100
            )
        )
          or report:push_data_age:seconds{provider="%(provider)s"} > 1.5 * (report:push_data_gap:seconds_max1w > %(seconds)g)
      ||| % (config { provider: provider, seconds: seconds }),
      'for': '15m',
      severity: 'warning',
      labels: { provider: provider },
      summary: what + ' of {{ $labels.app }} from {{ $labels.provider }} for {{ $value | humanizeDuration }}',
      description: |||
        The %s {{ $labels.report }} of {{ $labels.app }} last brought a new number {{ $value |
        humanizeDuration }} ago, at a time of day at which it usually does.
      ||| % brings,
      dashboard: 'push-exporter',
      variables: ['provider', 'app'],
    },
  ),

  prometheusAlerts+:: {
    groups+: [
      {
        name: 'push-polling',
        interval: '1m',
        rules: std.flattenArrays([
          quietLate('easemob', config.easemobLateSeconds, 'No new numbers', 'report'),
          // One or two messages may have reached nobody. An app of JPush that has changed its delivery has two reports; the newer
          // one counts.
          messagesLate('jpush', 'received.*|.*messages.*', config.jpushLateSeconds),
          // EngageLab's numbers take the same way as JPush's, and those of Getui's tasks come as soon.
          messagesLate('engagelab', 'status_detail', config.engagelabLateSeconds),
          messagesLate('getui', 'push_task', config.jpushLateSeconds),
          // OneSignal lists messages with their numbers, and reads one of the last two hours every five minutes: late is what is quiet
          // for 90 minutes, at the times at which Easemob would be.
          quietLate('onesignal', config.onesignalLateSeconds, 'No new messages or numbers', 'list'),
          // Feishu publishes a day at about 10:00 two days later, 34 to 58 hours after its end. A day on which nothing was sent
          // never comes and is settled a day later, so a day is late if it was there at this time a week ago, or else a day later.
          $.alert(
            'PushDataLate',
            {
              expr: |||
                report:push_data_age:seconds{provider="feishu"} > 30 * 3600
                  and ignoring (window) (
                    report:push_window_age:seconds{provider="feishu", window="day"} > 64 * 3600
                      and report:push_window_age:seconds offset 1w < 58 * 3600
                    or report:push_window_age:seconds{provider="feishu", window="day"} > 88 * 3600
                  )
              ||| % config,
              'for': '15m',
              severity: 'warning',
              labels: { provider: 'feishu' },
              summary: 'No new day of {{ $labels.app }} from {{ $labels.provider }} for {{ $value | humanizeDuration }}',
              description: |||
                The report {{ $labels.report }} of {{ $labels.app }} last brought a new number {{ $value |
                humanizeDuration }} ago, and the day that should be published is not there.
              |||,
              dashboard: 'push-exporter',
              variables: ['provider', 'app'],
            },
          ),
          // Getui's day appears at an hour of the next morning that no document tells, and one without pushes closes a day later. A
          // day is late at noon of the day after it if it was there at this time a week ago, or else after another day.
          $.alert(
            'PushDataLate',
            {
              expr: |||
                report:push_data_age:seconds{provider="getui", report="push_date"} > 12 * 3600
                  and ignoring (window) (
                    report:push_window_age:seconds{provider="getui", report="push_date", window="day"} > 36 * 3600
                      and report:push_window_age:seconds offset 1w < 30 * 3600
                    or report:push_window_age:seconds{provider="getui", report="push_date", window="day"} > 60 * 3600
                  )
              ||| % config,
              'for': '15m',
              severity: 'warning',
              labels: { provider: 'getui', report: 'push_date' },
              summary: 'No new day of {{ $labels.app }} from {{ $labels.provider }} for {{ $value | humanizeDuration }}',
              description: |||
                The report {{ $labels.report }} of {{ $labels.app }} last brought a new number {{ $value |
                humanizeDuration }} ago, and the day that should have appeared is not there.
              |||,
              dashboard: 'push-exporter',
              variables: ['provider', 'app'],
            },
          ),
          // Not for an app that has never registered a message, and not for a night: an hour is quiet in which several messages were
          // registered yesterday, and some a week ago (if that is known); or it is quiet for half as long again as ever in a week.
          $.alert(
            'PushMessageFeedDead',
            {
              expr: |||
                (
                  app:push_message_feed_age:seconds{provider!="onesignal"} > %(messageFeedDeadSeconds)g
                    and app:push_messages_registered:increase1h offset 1d >= 3
                    unless app:push_messages_registered:increase1h offset 1w == 0
                )
                  or app:push_message_feed_age:seconds{provider!="onesignal"} > 1.5 * (app:push_message_feed_gap:seconds_max1w > %(messageFeedDeadSeconds)g)
              ||| % config,
              'for': '15m',
              severity: 'warning',
              summary: 'No message of {{ $labels.app }} was registered for {{ $value | humanizeDuration }}',
              description: |||
                The newest message that the exporter knows of {{ $labels.app }} was sent {{ $value | humanizeDuration
                }} ago, at a time of day at which messages are usually registered. What is not registered is not
                counted.
              |||,
              dashboard: 'push-app',
              variables: ['provider', 'app'],
            },
          ),
          // These need a person: no retry will help.
          $.alert(
            'PushReportRefused',
            {
              expr: refused % (config { reports: 'report=~"%s"' % config.deliveryReports }),
              severity: 'critical',
              summary: '{{ $labels.provider }} refuses the report {{ $labels.report }} of {{ $labels.app }}: {{ $labels.reason }}',
              description: |||
                The last polls of {{ $labels.report }} of {{ $labels.app }} failed with the reason {{ $labels.reason }}.
                Nothing is counted until the credentials or the rights are mended; the exporter's status page says what
                to do.
              |||,
              dashboard: 'push-exporter',
              variables: ['provider', 'app'],
            },
          ),
          // Users, quotas and test devices say nothing about deliveries.
          $.alert(
            'PushReportRefused',
            {
              expr: refused % (config { reports: 'report!~"%s"' % config.deliveryReports }),
              severity: 'warning',
              summary: '{{ $labels.provider }} refuses the report {{ $labels.report }} of {{ $labels.app }}: {{ $labels.reason }}',
              description: |||
                The last polls of {{ $labels.report }} of {{ $labels.app }} failed with the reason {{ $labels.reason }}.
                Its gauges are missing until the credentials or the rights are mended; the exporter's status page says
                what to do.
              |||,
              dashboard: 'push-exporter',
              variables: ['provider', 'app'],
            },
          ),
          // A provider in trouble times out, answers 502 and refuses connections by turns: the reason is no label of it.
          $.alert(
            'PushReportFailing',
            {
              expr: 'max by (job, instance, provider, app, report) (push_poll_failing{%(whereAnd)sreason!~"auth|forbidden", scope=""}) == 1' % config,
              'for': '30m',
              severity: 'warning',
              summary: 'The report {{ $labels.report }} of {{ $labels.app }} at {{ $labels.provider }} fails',
              description: |||
                Polls of {{ $labels.report }} of {{ $labels.app }} have been failing for half an hour, now with the reason {{ with printf "push_poll_failing{job=%q, instance=%q, provider=%q, app=%q, report=%q}" $labels.job $labels.instance $labels.provider $labels.app $labels.report | query }}{{ . | first | label "reason" }}{{ end }}. Counters stand still; what is missed is caught up.
              |||,
              dashboard: 'push-exporter',
              variables: ['provider', 'app'],
            },
          ),
          // The rest of the report works and is counted; what fails is asked for again by itself.
          $.alert(
            'PushReportPartFailing',
            {
              expr: 'max by (job, instance, provider, app, report) (push_poll_failing{%(whereAnd)sscope="part"}) == 1' % config,
              'for': '2h',
              severity: 'info',
              summary: 'A part of the report {{ $labels.report }} of {{ $labels.app }} at {{ $labels.provider }} fails',
              description: |||
                A window, a department or some messages of {{ $labels.report }} of {{ $labels.app }} have been failing
                for two hours. Everything else of the report is counted; the exporter's status page says what fails and
                what to do.
              |||,
              dashboard: 'push-exporter',
              variables: ['provider', 'app'],
            },
          ),
          // Tokens are renewed by the first poll within ten minutes of their end: one that is still the same after such a poll could
          // not be. One that is idle till tomorrow (Feishu between two days) may expire, and so may that of a report that fails for
          // another reason and is hardly polled.
          $.alert(
            'PushTokenNotRenewed',
            {
              expr: |||
                push_token_expiry_timestamp_seconds%(where)s - time() < 5 * 60
                  and on (job, instance, provider, app) (
                    max by (job, instance, provider, app) (push_poll_last_success_timestamp_seconds%(where)s)
                      > on (job, instance, provider, app) push_token_expiry_timestamp_seconds%(where)s - 9 * 60
                    or max by (job, instance, provider, app) (push_poll_failing{%(whereAnd)sreason="auth"}) == 1
                  )
              ||| % config,
              'for': '3m',
              severity: 'warning',
              summary: 'The token of {{ $labels.app }} at {{ $labels.provider }} is not renewed',
              description: |||
                {{ if gt $value 0.0 }}The access token expires in {{ $value | humanizeDuration }}{{ else }}The access
                token has expired{{ end }} and has not been renewed, which should have happened ten minutes before.
                Then polls will fail.
              |||,
              dashboard: 'push-exporter',
              variables: ['provider', 'app'],
            },
          ),
          $.alert(
            'PushApiQuotaNearlyUsed',
            {
              expr: 'push_api_quota_remaining%(where)s / (push_api_quota_limit%(where)s > 0) < %(apiQuotaLeftRatio)g' % config,
              'for': '5m',
              severity: 'warning',
              summary: '{{ $value | humanizePercentage }} of the requests are left that {{ $labels.provider }} allows {{ $labels.app }}',
              description: |||
                {{ $labels.provider }} says that {{ $value | humanizePercentage }} of the requests to its {{
                $labels.api }} API are left in its window for {{ $labels.app }}. Polls will wait; pushes that use the
                same account may be refused.
              |||,
              dashboard: 'push-exporter',
              variables: ['provider', 'app'],
            },
          ),
          $.alert(
            'PushVendorQuotaNearlyUsed',
            {
              expr: 'push_vendor_quota_used%(where)s / (push_vendor_quota%(where)s > 0) > %(vendorQuotaUsedRatio)g < 1' % config,
              'for': '10m',
              severity: 'warning',
              summary: "{{ $value | humanizePercentage }} of today's quota of {{ $labels.channel }} is used by {{ $labels.app }}",
              description: |||
                {{ $labels.app }} has used {{ $value | humanizePercentage }} of the {{ $labels.class }} messages that
                {{ $labels.channel }} takes from it in a day. Beyond that they are refused.
              |||,
              dashboard: 'push-app',
              variables: ['provider', 'app'],
            },
          ),
          $.alert(
            'PushVendorQuotaExhausted',
            {
              expr: 'push_vendor_quota_used%(where)s / (push_vendor_quota%(where)s > 0) >= 1' % config,
              'for': '5m',
              severity: 'critical',
              summary: "Today's quota of {{ $labels.channel }} is used up by {{ $labels.app }}",
              description: |||
                {{ $labels.app }} has used {{ $value | humanizePercentage }} of the {{ $labels.class }} messages that
                {{ $labels.channel }} takes from it in a day. Those that follow are refused until midnight.
              |||,
              dashboard: 'push-app',
              variables: ['provider', 'app'],
            },
          ),
          // A report that fails is polled more slowly on purpose; it has an alert of its own.
          $.alert(
            'PushBacklogLate',
            {
              expr: |||
                time() - push_poll_due_timestamp_seconds%(where)s > %(backlogLateSeconds)g
                  unless on (job, instance, provider, app, report) push_poll_failing{%(whereAnd)sscope=""}
              ||| % config,
              'for': '10m',
              severity: 'warning',
              summary: 'Polls of {{ $labels.report }} of {{ $labels.app }} are {{ $value | humanizeDuration }} late',
              description: |||
                The oldest poll of {{ $labels.report }} of {{ $labels.app }} at {{ $labels.provider }} was due {{
                $value | humanizeDuration }} ago: the budget of requests is too small for the messages that are
                tracked, or the provider is slow.
              |||,
              dashboard: 'push-exporter',
              variables: ['provider', 'app'],
            },
          ),
          // Counters do not follow a number that falls, so they are now too high by as much. Small corrections are daily business.
          $.alert(
            'PushNumbersRestated',
            {
              expr: |||
                sum by (job, provider, app, metric) (increase(push_messages_restated_total%(where)s[1d])) > %(restatedVolume)g
                  and sum by (job, provider, app, metric) (increase(push_messages_restated_total%(where)s[1d]))
                    > %(restatedRatio)g * app_metric:push_messages_counted:increase1d
              ||| % config,
              severity: 'info',
              summary: '{{ $labels.provider }} has taken back {{ $value | printf "%.0f" }} {{ $labels.metric }} of {{ $labels.app }}',
              description: |||
                In the last day, numbers of {{ $labels.metric }} of {{ $labels.app }} fell by {{ $value | printf "%.0f"
                }} below what had been counted, more than a hundredth of it. Counters stay where they are.
              |||,
              dashboard: 'push-app',
              variables: ['provider', 'app'],
            },
          ),
          $.alert(
            'PushUnknownFields',
            {
              expr: 'sum by (job, provider, report) (increase(push_unknown_fields_total%(where)s[1d])) > 0' % config,
              severity: 'info',
              summary: '{{ $labels.provider }} answers with fields that the exporter does not know',
              description: |||
                Answers of {{ $labels.report }} hold {{ $value | printf "%.0f" }} names that were not known a day ago:
                the API has grown. The log names them; a newer release may count them.
              |||,
              dashboard: 'push-exporter',
              variables: ['provider'],
            },
          ),
          $.alert(
            'PushMessageIdsRejected',
            {
              expr: |||
                sum by (job, provider, app, what) (
                  label_replace(increase(push_rejected_messages_total%(where)s[1h]), "what", "ids that were refused", "", "")
                    or label_replace(increase(push_message_file_bad_lines_total%(where)s[1h]), "what", "lines of files that are no ids", "", "")
                ) > 0
              ||| % config,
              severity: 'warning',
              summary: '{{ $value | printf "%.0f" }} messages of {{ $labels.app }} are not counted: {{ $labels.what }}',
              description: |||
                In the last hour there were {{ $value | printf "%.0f" }} {{ $labels.what }} of {{ $labels.app }} ({{
                $labels.provider }}). Those messages are not counted.
              |||,
              dashboard: 'push-exporter',
              variables: ['provider', 'app'],
            },
          ),
          $.alert(
            'PushFieldTableFull',
            {
              expr: 'max by (job, provider, app) (push_unknown_fields_full%(where)s) == 1' % config,
              severity: 'info',
              summary: '{{ $labels.provider }} sends more unknown names for {{ $labels.app }} than are remembered',
              description: |||
                Further unknown fields of {{ $labels.app }} are not counted. What the provider documents is counted as
                before. The log has the names.
              |||,
              dashboard: 'push-exporter',
              variables: ['provider', 'app'],
            },
          ),
          $.alert(
            'PushClockSkewed',
            {
              expr: 'max by (job, instance, provider) (abs(push_clock_skew_seconds%(where)s)) > %(clockSkewSeconds)g' % config,
              'for': '15m',
              severity: 'warning',
              summary: 'The clocks of {{ $labels.provider }} and of the exporter {{ $labels.instance }} differ by {{ $value | humanizeDuration }}',
              description: |||
                They have differed by more than a minute for a quarter of an hour. From five minutes on, the provider's
                clock decides which days are over and how old a message is.
              |||,
              dashboard: 'push-exporter',
              variables: ['provider'],
            },
          ),
          // What the provider adds up itself, against what was read of it: any difference is a fault, here or there.
          $.alert(
            'PushDeliveriesUnaccounted',
            {
              expr: |||
                max by (job, provider, app, metric) (abs(push_window_unaccounted_messages%(where)s)) > 0
                  or sum by (job, provider, app, metric) (increase(push_messages_unaccounted_total%(where)s[1d])) > 0
              ||| % config,
              'for': '30m',
              severity: 'warning',
              summary: '{{ $value | humanize }} deliveries ({{ $labels.metric }}) of {{ $labels.app }} are unaccounted: {{ $labels.provider }} adds up another number',
              description: |||
                {{ $labels.provider }}'s own total ({{ $labels.metric }}) of a window or of messages that are settled differs by {{ $value | humanize }} from what the
                exporter has read part by part for {{ $labels.app }}.
              |||,
              dashboard: 'push-exporter',
              variables: ['provider', 'app'],
            },
          ),
          // Of the newest messages of a day: it begins within a few messages, and ends a day after the last bad one at the latest.
          $.alert(
            'PushTestDevicesUndelivered',
            {
              expr: |||
                sum by (job, provider, app) (push_test_devices{%(whereAnd)sstatus="undelivered"})
                  / (sum by (job, provider, app) (push_test_devices{%(whereAnd)sstatus=~"delivered|undelivered"}) >= %(testDevicesVolume)g) > %(testDevicesRatio)g
              ||| % config,
              'for': '1h',
              severity: 'warning',
              summary: '{{ $value | humanizePercentage }} of the messages to test devices of {{ $labels.app }} do not arrive',
              description: |||
                For an hour {{ $value | humanizePercentage }} of the newest messages to the test devices of {{
                $labels.app }} have not been delivered, of those whose status the provider tells.
              |||,
              dashboard: 'push-app',
              variables: ['provider', 'app'],
            },
          ),
        ]),
      },
    ],
  },
}
