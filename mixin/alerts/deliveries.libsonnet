// Alerts about the pushes themselves: channels that fail, are slow, deliver less, or through one provider only; clicks;
// volumes. Needs recording.yml. What to look at and what to do: RUNBOOK.md, by the name of the alert.
//
// Every alert asks for a volume, so that a handful of pushes at night wakes nobody, and is silent where there is no history
// to hold against. Feishu and Getui count a day at once; their volume is held against the same day of last week.
{
  local config = $._config,

  // A provider that tells of days. The newest day may be another weekday than a week ago: in the morning, and all day long where a
  // day on which nothing was sent is settled a day late.
  local dayCollapsed(provider, report) = $.alert(
    'PushVolumeCollapsed',
    {
      expr: |||
        sum by (job, provider, app) (push_window_messages_sent{%(whereAnd)sprovider="%(provider)s", window="day"})
          / (sum by (job, provider, app) (push_window_messages_sent{%(whereAnd)sprovider="%(provider)s", window="day"} offset 1w) > %(lastWeekVolume)g) < %(volumeCollapsedRatio)g
          and abs(
            max by (job, provider, app) (push_window_end_timestamp_seconds{%(whereAnd)sreport="%(report)s", window="day"})
              - max by (job, provider, app) (push_window_end_timestamp_seconds{%(whereAnd)sreport="%(report)s", window="day"} offset 1w)
              - 7 * 86400
          ) <= 3600
      ||| % (config { provider: provider, report: report }),
      'for': '1h',
      severity: 'info',
      labels: { provider: provider },
      summary: '{{ $labels.app }} sent {{ $value | humanizePercentage }} of what it sent on that day of last week',
      description: |||
        Through {{ $labels.provider }}, {{ $labels.app }} sent {{ $value | humanizePercentage }} on the newest
        day that is published of what it sent on that day of last week.
      |||,
      dashboard: 'push-app',
      variables: ['provider', 'app'],
    },
  ),
  local dayDoubled(provider, report) = $.alert(
    'PushVolumeDoubled',
    {
      expr: |||
        sum by (job, provider, app) (push_window_messages_sent{%(whereAnd)sprovider="%(provider)s", window="day"})
          / (sum by (job, provider, app) (push_window_messages_sent{%(whereAnd)sprovider="%(provider)s", window="day"} offset 1w) > %(lastWeekVolume)g) > %(volumeDoubledRatio)g
          and abs(
            max by (job, provider, app) (push_window_end_timestamp_seconds{%(whereAnd)sreport="%(report)s", window="day"})
              - max by (job, provider, app) (push_window_end_timestamp_seconds{%(whereAnd)sreport="%(report)s", window="day"} offset 1w)
              - 7 * 86400
          ) <= 3600
      ||| % (config { provider: provider, report: report }),
      'for': '1h',
      severity: 'info',
      labels: { provider: provider },
      summary: '{{ $labels.app }} sent {{ $value | printf "%.1f" }} times what it sent on that day of last week',
      description: |||
        Through {{ $labels.provider }}, {{ $labels.app }} sent {{ $value | printf "%.1f" }} times as much on
        the newest day that is published as on that day of last week.
      |||,
      dashboard: 'push-app',
      variables: ['provider', 'app'],
    },
  ),

  prometheusAlerts+:: {
    groups+: [
      {
        name: 'push-deliveries',
        interval: '1m',
        rules: std.flattenArrays([
          $.alert(
            'PushChannelFailing',
            {
              expr: 'channel:push_messages_accepted_per_attempted:ratio_failing',
              'for': '3m',
              severity: 'critical',
              summary: '{{ $labels.channel }} ({{ $labels.platform }}) accepted only {{ $value | humanizePercentage }} of the pushes of {{ $labels.app }} via {{ $labels.provider }}',
              description: |||
                {{ $labels.provider }} reports that the channel {{ $labels.channel }} ({{ $labels.platform }}) accepted
                {{ $value | humanizePercentage }} of what it was given for {{ $labels.app }} in the last quarter of an hour, or
                over the last hour or longer if there were few pushes. The objective of {{ $labels.app }} is
                {{ with printf "app:push_objective:ratio{job=%q, provider=%q, app=%q}" $labels.job $labels.provider $labels.app | query }}{{ . | first | value | humanizePercentage }}{{ end }}.
              |||,
              dashboard: 'push-channel',
              variables: ['provider', 'app', 'platform', 'channel'],
            },
          ),
          // It needs no week of history: that the channel delivered within the last day is enough.
          $.alert(
            'PushChannelDeliversNothing',
            {
              expr: 'channel:push_messages_received_per_sent:ratio_nothing',
              'for': '10m',
              severity: 'critical',
              summary: 'Nothing of {{ $labels.app }} arrives through {{ $labels.channel }}',
              description: |||
                In the last half hour, or six hours if there were few pushes, {{ $value | humanizePercentage }} of what {{ $labels.provider }} sent through {{
                $labels.channel }} ({{ $labels.platform }}) for {{ $labels.app }} arrived. Within the last day it was
                more than a fifth.
              |||,
              dashboard: 'push-channel',
              variables: ['provider', 'app', 'platform', 'channel'],
            },
          ),
          $.alert(
            'PushChannelSuccessFell',
            {
              expr: |||
                channel:push_messages_accepted_per_attempted:ratio_increase1h
                  < %(successFellRatio)g * channel:push_messages_accepted_per_attempted:ratio_increase1h_median1w
                  and channel:push_messages_attempted_with_accepted:increase1h > %(hourVolume)g
                  unless on (job, provider, app, platform, channel) channel:push_messages_accepted_per_attempted:ratio_failing
                  unless on (job, provider, app, platform, channel) channel:push_messages_received_per_sent:ratio_nothing
                  unless on (job, platform, channel) vendor:push_providers_fell:count
              ||| % config,
              'for': '15m',
              severity: 'warning',
              summary: '{{ $labels.channel }} ({{ $labels.platform }}) accepts fewer of the pushes of {{ $labels.app }} via {{ $labels.provider }} than usual: {{ $value | humanizePercentage }}',
              description: |||
                {{ $labels.provider }} reports that the channel {{ $labels.channel }} ({{ $labels.platform }}) accepted
                {{ $value | humanizePercentage }} of what it was given for {{ $labels.app }} in the last hour, more
                than a tenth below its median of the past week.
              |||,
              dashboard: 'push-channel',
              variables: ['provider', 'app', 'platform', 'channel'],
            },
          ),
          $.alert(
            'PushChannelSlow',
            {
              expr: |||
                channel:push_messages_received_at_10m_per_sent_at_10m:ratio_increase1h
                  < %(slowRatio)g * channel:push_messages_received_at_10m_per_sent_at_10m:ratio_increase1h_median1w
                  and channel:push_messages_sent_at_10m:increase1h > %(hourVolume)g
                  unless on (job, provider, app, platform, channel) channel:push_messages_accepted_per_attempted:ratio_failing
                  unless on (job, provider, app, platform, channel) channel:push_messages_received_per_sent:ratio_nothing
                  unless on (job, platform, channel) vendor:push_providers_fell:count
              ||| % config,
              'for': '10m',
              keepFiringFor: '10m',
              severity: 'warning',
              summary: '{{ $labels.channel }} is slow for {{ $labels.app }}: {{ $value | humanizePercentage }} arrive within ten minutes',
              description: |||
                Of what {{ $labels.provider }} sent through {{ $labels.channel }} ({{ $labels.platform }}) for {{
                $labels.app }} in the last hour, {{ $value | humanizePercentage }} had arrived ten minutes after
                sending, less than seven tenths of the median of the past week.
              |||,
              dashboard: 'push-channel',
              variables: ['provider', 'app', 'platform', 'channel'],
            },
          ),
          // Only where sent means the same (see push-vendors in recording.yml), so that ratios of two providers can be compared.
          // A channel that was always behind, for want of receipts or because of other users, is no news.
          $.alert(
            'PushChannelBadThroughOneProvider',
            {
              expr: |||
                (
                  vendor:push_messages_received_per_accepted:ratio_increase1h
                    < on (job, platform, channel) group_left ()
                      %(otherProviderRatio)g * max by (job, platform, channel) (
                        vendor:push_messages_received_per_accepted:ratio_increase1h
                          and vendor:push_messages_accepted_with_received:increase1h > %(hourVolume)g
                          and vendor:push_messages_received_per_accepted:ratio_increase1h_median1w
                      )
                  and vendor:push_messages_accepted_with_received:increase1h > %(hourVolume)g
                )
                and (
                  vendor:push_messages_received_per_accepted:ratio_increase1h_median1w
                    >= on (job, platform, channel) group_left ()
                      %(otherProviderRatio)g * max by (job, platform, channel) (vendor:push_messages_received_per_accepted:ratio_increase1h_median1w)
                )
              ||| % config,
              'for': '15m',
              severity: 'warning',
              labels: { fault: 'provider' },
              summary: '{{ $labels.channel }} is bad through {{ $labels.provider }} and not through another provider',
              description: |||
                {{ $value | humanizePercentage }} of what {{ $labels.channel }} ({{ $labels.platform }}) accepted from {{ $labels.provider }} in the last hour arrived, and through another provider {{ with printf "max(vendor:push_messages_received_per_accepted:ratio_increase1h{job=%q, platform=%q, channel=%q} and vendor:push_messages_accepted_with_received:increase1h > 100 and vendor:push_messages_received_per_accepted:ratio_increase1h_median1w)" $labels.job $labels.platform $labels.channel | query }}{{ . | first | value | humanizePercentage }}{{ end }}. The vendor works: the fault is with {{ $labels.provider }}, or with what the app has registered there.
              |||,
              dashboard: 'push-channel',
              variables: ['platform', 'channel'],
            },
          ),
          $.alert(
            'PushVendorBadThroughAllProviders',
            {
              expr: 'vendor:push_providers_fell:count',
              'for': '15m',
              severity: 'critical',
              labels: { fault: 'vendor' },
              summary: '{{ $labels.channel }} is bad through {{ $value }} providers at once',
              description: |||
                The channel {{ $labels.channel }} ({{ $labels.platform }}) accepts or delivers clearly less than in the
                past week through {{ $value }} providers. The fault is with the vendor, or with what the apps have
                registered there.
              |||,
              dashboard: 'push-channel',
              variables: ['platform', 'channel'],
            },
          ),
          // Six hours, because what arrives does so for hours: right after a large push the ratio of an hour is low. But an hour
          // that is as usual ends it.
          $.alert(
            'PushDeliveryRatioFell',
            {
              expr: |||
                channel:push_messages_received_per_sent:ratio_recent
                  < %(deliveryFellRatio)g * channel:push_messages_received_per_sent:ratio_increase6h_median1w
                  and channel:push_messages_sent_with_received:increase6h > %(sixHoursVolume)g
                  unless on (job, provider, app, platform, channel) channel:push_messages_accepted_per_attempted:ratio_failing
                  unless on (job, provider, app, platform, channel) channel:push_messages_received_per_sent:ratio_nothing
                  unless on (job, platform, channel) vendor:push_providers_fell:count
              ||| % config,
              'for': '30m',
              keepFiringFor: '10m',
              severity: 'warning',
              summary: 'Fewer pushes of {{ $labels.app }} arrive through {{ $labels.channel }} than usual: {{ $value | humanizePercentage }}',
              description: |||
                Of what {{ $labels.provider }} sent through {{ $labels.channel }} ({{ $labels.platform }}) for {{
                $labels.app }} in the last six hours, or in the last hour if that is better, {{ $value | humanizePercentage }}
                arrived, less than eight tenths of the median of the past week.
              |||,
              dashboard: 'push-channel',
              variables: ['provider', 'app', 'platform', 'channel'],
            },
          ),
          // The volume is what would usually have been clicked.
          $.alert(
            'PushClicksVanished',
            {
              expr: |||
                channel:push_messages_clicked_per_received:ratio_increase6h
                  < %(clicksVanishedRatio)g * channel:push_messages_clicked_per_received:ratio_increase6h_median1w
                  and channel:push_messages_clicked_per_received:ratio_increase6h_median1w
                    * channel:push_messages_received_with_clicked:increase6h > %(clicksVolume)g
              ||| % config,
              'for': '30m',
              severity: 'warning',
              summary: 'Hardly anybody clicks the pushes of {{ $labels.app }} through {{ $labels.channel }}: {{ $value | humanizePercentage }}',
              description: |||
                {{ $value | humanizePercentage }} of what arrived through {{ $labels.channel }} ({{ $labels.platform
                }}) in the last six hours was clicked, less than a fifth of the median of the past week. Pushes arrive:
                the content, the link they open or the counting of clicks is broken.
              |||,
              dashboard: 'push-channel',
              variables: ['provider', 'app', 'platform', 'channel'],
            },
          ),
          // A report that fails sends no numbers, which says nothing about volumes. Nor do six hours that begin while the exporter
          // was down: what it then catches up is too much, or is not seen as growth.
          $.alert(
            'PushVolumeCollapsed',
            {
              expr: |||
                app:push_messages_sent:increase6h
                  / (app:push_messages_sent:increase6h offset 1w > %(lastWeekVolume)g) < %(volumeCollapsedRatio)g
                  and app:push_messages_sent:increase6h offset 6h
                  and app:push_messages_sent:increase6h offset 1w6h
                  unless on (job, provider, app) push_poll_failing{%(whereAnd)sscope="", report=~"%(deliveryReports)s"}
              ||| % config,
              'for': '30m',
              severity: 'info',
              summary: '{{ $labels.app }} sends {{ $value | humanizePercentage }} of what it sent a week ago',
              description: |||
                Through {{ $labels.provider }}, {{ $labels.app }} sent {{ $value | humanizePercentage }} in the last
                six hours of what it sent in the same hours a week ago.
              |||,
              dashboard: 'push-app',
              variables: ['provider', 'app'],
            },
          ),
          dayCollapsed('feishu', 'message_push_overview'),
          dayCollapsed('getui', 'push_date'),
          // Both days must be whole ones: neither the first, nor one that begins while the exporter was down.
          $.alert(
            'PushVolumeDoubled',
            {
              expr: |||
                app:push_messages_sent:increase1d
                  / (app:push_messages_sent:increase1d offset 1w > %(lastWeekVolume)g) > %(volumeDoubledRatio)g
                  and app:push_messages_sent:increase1d offset 1d
                  and app:push_messages_sent:increase1d offset 8d
                  unless on (job, provider, app) push_window_end_timestamp_seconds{%(whereAnd)sreport=~"%(dailyReports)s"}
              ||| % config,
              'for': '1h',
              severity: 'info',
              summary: '{{ $labels.app }} sends {{ $value | printf "%.1f" }} times what it sent a week ago',
              description: |||
                Through {{ $labels.provider }}, {{ $labels.app }} sent {{ $value | printf "%.1f" }} times as much in
                the last day as on that day of last week: a campaign, or a sender that repeats itself.
              |||,
              dashboard: 'push-app',
              variables: ['provider', 'app'],
            },
          ),
          dayDoubled('feishu', 'message_push_overview'),
          dayDoubled('getui', 'push_date'),
        ]),
      },
    ],
  },
}
