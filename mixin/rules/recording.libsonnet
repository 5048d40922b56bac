// Recording rules: the funnel of pushes as ratios, over 1 hour, 6 hours and 1 day; what they were in the past week; ages.
//
// Names are level:metric:operations. Levels: channel: (job, provider, app, platform, channel), app: (job, provider, app),
// provider: (job, provider), vendor: (job, provider, platform, channel), report: (job, provider, app, report). No level has
// the instance, so that history survives an exporter that moves; environments need jobs of their own.
//
// A ratio is taken over series that have both sides, with the same kind. Numerators (a_with_b) and denominators (b_with_a)
// are recorded beside it: the ratio of any selection is sum(numerator) / sum(denominator), never an average of ratios.
//
// Each is read by an alert, a dashboard or another rule, and the same metric has the same expression in every window (a test looks).
{
  local config = $._config,
  prometheusRules+:: {
    groups+: [
      {
        name: 'push-funnel-1h',
        interval: '1m',
        rules: [
          // Volumes. Feishu counts a day at once, so its volume of hours means nothing.
          {
            record: 'channel:push_messages_sent:increase1h',
            expr: |||
              sum by (job, provider, app, platform, channel) (increase(push_messages_sent_total{%(whereAnd)sprovider!="feishu"}[1h]))
                and on (job, provider, app, platform, channel) push_messages_sent_total%(where)s
            ||| % config,
          },
          {
            record: 'app:push_messages_sent:increase1h',
            expr: 'sum by (job, provider, app) (channel:push_messages_sent:increase1h)' % config,
          },
          // Success: what a channel accepted of what it was given. Easemob tells sent and failed, JPush targeted and sent.
          {
            record: 'channel:push_messages_accepted_with_attempted:increase1h',
            expr: |||
              sum by (job, provider, app, platform, channel) (
                increase(push_messages_sent_total%(where)s[1h]) and on (job, provider, app, platform, channel, kind) (push_messages_failed_total%(where)s or push_messages_targeted_total%(where)s)
              )
            ||| % config,
          },
          {
            record: 'channel:push_messages_attempted_with_accepted:increase1h',
            expr: |||
              sum by (job, provider, app, platform, channel) (
                (increase(push_messages_sent_total%(where)s[1h]) + increase(push_messages_failed_total%(where)s[1h]) and on (job, provider, app, platform, channel, kind) push_messages_failed_total%(where)s)
                  or (increase(push_messages_targeted_total%(where)s[1h]) and on (job, provider, app, platform, channel, kind) push_messages_sent_total%(where)s)
              )
            ||| % config,
          },
          {
            record: 'channel:push_messages_accepted_per_attempted:ratio_increase1h',
            expr: |||
              channel:push_messages_accepted_with_attempted:increase1h
                / (channel:push_messages_attempted_with_accepted:increase1h > 0)
            ||| % config,
          },
          // Delivery: what arrived of what was sent.
          {
            record: 'channel:push_messages_received_with_sent:increase1h',
            expr: 'sum by (job, provider, app, platform, channel) (increase(push_messages_received_total%(where)s[1h]) and on (job, provider, app, platform, channel, kind) push_messages_sent_total%(where)s)' % config,
          },
          {
            record: 'channel:push_messages_sent_with_received:increase1h',
            expr: 'sum by (job, provider, app, platform, channel) (increase(push_messages_sent_total%(where)s[1h]) and on (job, provider, app, platform, channel, kind) push_messages_received_total%(where)s)' % config,
          },
        ],
      },
      {
        name: 'push-funnel-6h',
        interval: '2m',
        rules: [
          // Volumes. Feishu counts a day at once, so its volume of hours means nothing.
          {
            record: 'channel:push_messages_sent:increase6h',
            expr: |||
              sum by (job, provider, app, platform, channel) (increase(push_messages_sent_total{%(whereAnd)sprovider!="feishu"}[6h]))
                and on (job, provider, app, platform, channel) push_messages_sent_total%(where)s
            ||| % config,
          },
          {
            record: 'app:push_messages_sent:increase6h',
            expr: 'sum by (job, provider, app) (channel:push_messages_sent:increase6h)' % config,
          },
          // Delivery: what arrived of what was sent.
          {
            record: 'channel:push_messages_received_with_sent:increase6h',
            expr: 'sum by (job, provider, app, platform, channel) (increase(push_messages_received_total%(where)s[6h]) and on (job, provider, app, platform, channel, kind) push_messages_sent_total%(where)s)' % config,
          },
          {
            record: 'channel:push_messages_sent_with_received:increase6h',
            expr: 'sum by (job, provider, app, platform, channel) (increase(push_messages_sent_total%(where)s[6h]) and on (job, provider, app, platform, channel, kind) push_messages_received_total%(where)s)' % config,
          },
          {
            record: 'channel:push_messages_received_per_sent:ratio_increase6h',
            expr: |||
              channel:push_messages_received_with_sent:increase6h
                / (channel:push_messages_sent_with_received:increase6h > 0)
            ||| % config,
          },
          // Display: what was shown of what arrived.
          {
            record: 'channel:push_messages_displayed_with_received:increase6h',
            expr: 'sum by (job, provider, app, platform, channel) (increase(push_messages_displayed_total%(where)s[6h]) and on (job, provider, app, platform, channel, kind) push_messages_received_total%(where)s)' % config,
          },
          {
            record: 'channel:push_messages_received_with_displayed:increase6h',
            expr: 'sum by (job, provider, app, platform, channel) (increase(push_messages_received_total%(where)s[6h]) and on (job, provider, app, platform, channel, kind) push_messages_displayed_total%(where)s)' % config,
          },
          // Clicks: what was clicked of what arrived. Older reports split clicks by kind and what arrived not (kind any).
          {
            record: 'channel:push_messages_clicked_with_received:increase6h',
            expr: |||
              sum by (job, provider, app, platform, channel) (
                (increase(push_messages_clicked_total%(where)s[6h]) and on (job, provider, app, platform, channel, kind) push_messages_received_total%(where)s)
                  or (increase(push_messages_clicked_total%(where)s[6h])
                    and on (job, provider, app, platform, channel) push_messages_received_total{%(whereAnd)skind="any"})
              )
            ||| % config,
          },
          {
            record: 'channel:push_messages_received_with_clicked:increase6h',
            expr: |||
              sum by (job, provider, app, platform, channel) (
                (increase(push_messages_received_total%(where)s[6h]) and on (job, provider, app, platform, channel, kind) push_messages_clicked_total%(where)s)
                  or (increase(push_messages_received_total{%(whereAnd)skind="any"}[6h])
                    and on (job, provider, app, platform, channel) push_messages_clicked_total%(where)s)
              )
            ||| % config,
          },
          {
            record: 'channel:push_messages_clicked_per_received:ratio_increase6h',
            expr: |||
              channel:push_messages_clicked_with_received:increase6h
                / (channel:push_messages_received_with_clicked:increase6h > 0)
            ||| % config,
          },
        ],
      },
      {
        name: 'push-funnel-1d',
        interval: '4m',
        rules: [
          // Volumes.
          {
            record: 'channel:push_messages_sent:increase1d',
            expr: |||
              sum by (job, provider, app, platform, channel) (increase(push_messages_sent_total%(where)s[1d]))
                and on (job, provider, app, platform, channel) push_messages_sent_total%(where)s
            ||| % config,
          },
          {
            record: 'app:push_messages_sent:increase1d',
            expr: 'sum by (job, provider, app) (channel:push_messages_sent:increase1d)' % config,
          },
          // Success: what a channel accepted of what it was given. Easemob tells sent and failed, JPush targeted and sent.
          {
            record: 'channel:push_messages_accepted_with_attempted:increase1d',
            expr: |||
              sum by (job, provider, app, platform, channel) (
                increase(push_messages_sent_total%(where)s[1d]) and on (job, provider, app, platform, channel, kind) (push_messages_failed_total%(where)s or push_messages_targeted_total%(where)s)
              )
            ||| % config,
          },
          {
            record: 'channel:push_messages_attempted_with_accepted:increase1d',
            expr: |||
              sum by (job, provider, app, platform, channel) (
                (increase(push_messages_sent_total%(where)s[1d]) + increase(push_messages_failed_total%(where)s[1d]) and on (job, provider, app, platform, channel, kind) push_messages_failed_total%(where)s)
                  or (increase(push_messages_targeted_total%(where)s[1d]) and on (job, provider, app, platform, channel, kind) push_messages_sent_total%(where)s)
              )
            ||| % config,
          },
          // Delivery: what arrived of what was sent.
          {
            record: 'channel:push_messages_received_with_sent:increase1d',
            expr: 'sum by (job, provider, app, platform, channel) (increase(push_messages_received_total%(where)s[1d]) and on (job, provider, app, platform, channel, kind) push_messages_sent_total%(where)s)' % config,
          },
          {
            record: 'channel:push_messages_sent_with_received:increase1d',
            expr: 'sum by (job, provider, app, platform, channel) (increase(push_messages_sent_total%(where)s[1d]) and on (job, provider, app, platform, channel, kind) push_messages_received_total%(where)s)' % config,
          },
          // Display: what was shown of what arrived.
          {
            record: 'channel:push_messages_displayed_with_received:increase1d',
            expr: 'sum by (job, provider, app, platform, channel) (increase(push_messages_displayed_total%(where)s[1d]) and on (job, provider, app, platform, channel, kind) push_messages_received_total%(where)s)' % config,
          },
          {
            record: 'channel:push_messages_received_with_displayed:increase1d',
            expr: 'sum by (job, provider, app, platform, channel) (increase(push_messages_received_total%(where)s[1d]) and on (job, provider, app, platform, channel, kind) push_messages_displayed_total%(where)s)' % config,
          },
          // Clicks: what was clicked of what arrived. Older reports split clicks by kind and what arrived not (kind any).
          {
            record: 'channel:push_messages_clicked_with_received:increase1d',
            expr: |||
              sum by (job, provider, app, platform, channel) (
                (increase(push_messages_clicked_total%(where)s[1d]) and on (job, provider, app, platform, channel, kind) push_messages_received_total%(where)s)
                  or (increase(push_messages_clicked_total%(where)s[1d])
                    and on (job, provider, app, platform, channel) push_messages_received_total{%(whereAnd)skind="any"})
              )
            ||| % config,
          },
          {
            record: 'channel:push_messages_received_with_clicked:increase1d',
            expr: |||
              sum by (job, provider, app, platform, channel) (
                (increase(push_messages_received_total%(where)s[1d]) and on (job, provider, app, platform, channel, kind) push_messages_clicked_total%(where)s)
                  or (increase(push_messages_received_total{%(whereAnd)skind="any"}[1d])
                    and on (job, provider, app, platform, channel) push_messages_clicked_total%(where)s)
              )
            ||| % config,
          },
        ],
      },
      // Whether a channel is slow now: what of each message had arrived ten minutes after it was sent.
      {
        name: 'push-speed',
        interval: '1m',
        rules: [
          {
            record: 'channel:push_messages_received_at_10m:increase1h',
            expr: 'sum by (job, provider, app, platform, channel) (increase(push_messages_received_at_10m_total%(where)s[1h]) and on (job, provider, app, platform, channel, kind) push_messages_sent_at_10m_total%(where)s)' % config,
          },
          {
            record: 'channel:push_messages_sent_at_10m:increase1h',
            expr: 'sum by (job, provider, app, platform, channel) (increase(push_messages_sent_at_10m_total%(where)s[1h]) and on (job, provider, app, platform, channel, kind) push_messages_received_at_10m_total%(where)s)' % config,
          },
          {
            record: 'channel:push_messages_received_at_10m_per_sent_at_10m:ratio_increase1h',
            expr: |||
              channel:push_messages_received_at_10m:increase1h
                / (channel:push_messages_sent_at_10m:increase1h > 0)
            ||| % config,
          },
        ],
      },
      // The same vendor channel seen through several providers. Only apps whose sent means that the vendor has accepted: in
      // JPush's messages_detail it means that the task to send was created. Which report an app has shows in its last success.
      {
        name: 'push-vendors',
        interval: '1m',
        rules: [
          {
            record: 'vendor:push_messages_received_with_accepted:increase1h',
            expr: |||
              sum by (job, provider, platform, channel) (
                channel:push_messages_received_with_sent:increase1h
                  unless on (job, provider, app) push_poll_last_success_timestamp_seconds{%(whereAnd)sreport="messages_detail"}
              )
            ||| % config,
          },
          {
            record: 'vendor:push_messages_accepted_with_received:increase1h',
            expr: |||
              sum by (job, provider, platform, channel) (
                channel:push_messages_sent_with_received:increase1h
                  unless on (job, provider, app) push_poll_last_success_timestamp_seconds{%(whereAnd)sreport="messages_detail"}
              )
            ||| % config,
          },
          {
            record: 'vendor:push_messages_received_per_accepted:ratio_increase1h',
            expr: |||
              vendor:push_messages_received_with_accepted:increase1h
                / (vendor:push_messages_accepted_with_received:increase1h > 0)
            ||| % config,
          },
          // For how many apps a channel accepts or delivers clearly less through a provider than in the past week, and of how many
          // it can be told. Each is held against its own past, so what sent means does not matter.
          {
            record: 'vendor:push_apps_fell:count',
            expr: |||
              count by (job, provider, platform, channel) (
                channel:push_messages_received_per_sent:ratio_increase6h
                  < %(deliveryFellRatio)g * channel:push_messages_received_per_sent:ratio_increase6h_median1w
                  and channel:push_messages_sent_with_received:increase6h > %(sixHoursVolume)g
                or channel:push_messages_accepted_per_attempted:ratio_increase1h
                  < %(successFellRatio)g * channel:push_messages_accepted_per_attempted:ratio_increase1h_median1w
                  and channel:push_messages_attempted_with_accepted:increase1h > %(hourVolume)g
              )
            ||| % config,
          },
          {
            record: 'vendor:push_apps_told:count',
            expr: |||
              count by (job, provider, platform, channel) (
                channel:push_messages_sent_with_received:increase6h > %(sixHoursVolume)g
                  and channel:push_messages_received_per_sent:ratio_increase6h_median1w
                or channel:push_messages_attempted_with_accepted:increase1h > %(hourVolume)g
                  and channel:push_messages_accepted_per_attempted:ratio_increase1h_median1w
              )
            ||| % config,
          },
        ],
      },
      // Feishu publishes a day at once, two days late: counters over days, and each closed window by itself.
      {
        name: 'push-read',
        interval: '2m',
        rules: [
          {
            record: 'app:push_messages_read_within_1h_per_sent:ratio_increase3d',
            expr: |||
              sum by (job, provider, app) (increase(push_messages_read_within_1h_total%(where)s[3d]) and on (job, provider, app, platform, channel, kind) push_messages_sent_total%(where)s)
                / (sum by (job, provider, app) (increase(push_messages_sent_total%(where)s[3d]) and on (job, provider, app, platform, channel, kind) push_messages_read_within_1h_total%(where)s) > 0)
            ||| % config,
          },
          {
            record: 'app:push_messages_read_within_12h_per_sent:ratio_increase3d',
            expr: |||
              sum by (job, provider, app) (increase(push_messages_read_within_12h_total%(where)s[3d]) and on (job, provider, app, platform, channel, kind) push_messages_sent_total%(where)s)
                / (sum by (job, provider, app) (increase(push_messages_sent_total%(where)s[3d]) and on (job, provider, app, platform, channel, kind) push_messages_read_within_12h_total%(where)s) > 0)
            ||| % config,
          },
        ],
      },
      // What was counted in a day, by the names that push_messages_restated_total has for it.
      {
        name: 'push-counted',
        interval: '4m',
        rules: [
          {
            record: 'app_metric:push_messages_counted:increase1d',
            expr: |||
              label_replace(sum by (job, provider, app) (increase(push_messages_targeted_total%(where)s[1d])), "metric", "targeted", "", "")
                or label_replace(sum by (job, provider, app) (increase(push_messages_sent_total%(where)s[1d])), "metric", "sent", "", "")
                or label_replace(sum by (job, provider, app) (increase(push_messages_pushed_online_total%(where)s[1d])), "metric", "pushed_online", "", "")
                or label_replace(sum by (job, provider, app) (increase(push_messages_failed_total%(where)s[1d])), "metric", "failed", "", "")
                or label_replace(sum by (job, provider, app) (increase(push_messages_received_total%(where)s[1d])), "metric", "received", "", "")
                or label_replace(sum by (job, provider, app) (increase(push_messages_displayed_total%(where)s[1d])), "metric", "displayed", "", "")
                or label_replace(sum by (job, provider, app) (increase(push_messages_clicked_total%(where)s[1d])), "metric", "clicked", "", "")
                or label_replace(sum by (job, provider, app) (increase(push_messages_read_within_1h_total%(where)s[1d])), "metric", "read_within_1h", "", "")
                or label_replace(sum by (job, provider, app) (increase(push_messages_read_within_12h_total%(where)s[1d])), "metric", "read_within_12h", "", "")
            ||| % config,
          },
        ],
      },
      // How old data are, by report.
      {
        name: 'push-ages',
        interval: '1m',
        rules: [
          {
            record: 'report:push_data_age:seconds',
            expr: 'time() - max by (job, provider, app, report) (push_data_last_change_timestamp_seconds%(where)s)' % config,
          },
          {
            record: 'report:push_window_age:seconds',
            expr: 'time() - max by (job, provider, app, report, window) (push_window_end_timestamp_seconds%(where)s)' % config,
          },
          {
            record: 'app:push_message_feed_age:seconds',
            expr: 'time() - max by (job, provider, app) (push_newest_message_timestamp_seconds%(where)s)' % config,
          },
          // How long it had been quiet before the newest number, the newest message (shown for five minutes, else 0): not what is
          // going on now.
          {
            record: 'report:push_data_gap:seconds',
            expr: |||
              max by (job, provider, app, report) (
                push_data_last_change_timestamp_seconds%(where)s - min_over_time(push_data_last_change_timestamp_seconds%(where)s[5m])
              )
            ||| % config,
          },
          {
            record: 'app:push_message_feed_gap:seconds',
            expr: |||
              max by (job, provider, app) (
                push_newest_message_timestamp_seconds%(where)s - min_over_time(push_newest_message_timestamp_seconds%(where)s[5m])
              )
            ||| % config,
          },
          {
            record: 'app:push_messages_registered:increase1h',
            expr: 'sum by (job, provider, app) (increase(push_messages_registered_total%(where)s[1h]))' % config,
          },
        ],
      },
      // What was usual in the past week: medians of hours, so that a bad night does not move them, from half a day of history on;
      // the longest time without anything new, from a day of history on. Of medians the last hour is left out: it is what is held
      // against them.
      {
        name: 'push-past-week',
        interval: '4m',
        rules: [
          {
            record: 'channel:push_messages_accepted_per_attempted:ratio_increase1h_median1w',
            expr: |||
              quantile_over_time(0.5, channel:push_messages_accepted_per_attempted:ratio_increase1h[1w:1h] offset 1h)
                and count_over_time(channel:push_messages_accepted_per_attempted:ratio_increase1h[1w:1h] offset 1h) >= 12
            ||| % config,
          },
          {
            record: 'channel:push_messages_received_at_10m_per_sent_at_10m:ratio_increase1h_median1w',
            expr: |||
              quantile_over_time(0.5, channel:push_messages_received_at_10m_per_sent_at_10m:ratio_increase1h[1w:1h] offset 1h)
                and count_over_time(channel:push_messages_received_at_10m_per_sent_at_10m:ratio_increase1h[1w:1h] offset 1h) >= 12
            ||| % config,
          },
          {
            record: 'vendor:push_messages_received_per_accepted:ratio_increase1h_median1w',
            expr: |||
              quantile_over_time(0.5, vendor:push_messages_received_per_accepted:ratio_increase1h[1w:1h] offset 1h)
                and count_over_time(vendor:push_messages_received_per_accepted:ratio_increase1h[1w:1h] offset 1h) >= 12
            ||| % config,
          },
          {
            record: 'channel:push_messages_received_per_sent:ratio_increase6h_median1w',
            expr: |||
              quantile_over_time(0.5, channel:push_messages_received_per_sent:ratio_increase6h[1w:1h] offset 1h)
                and count_over_time(channel:push_messages_received_per_sent:ratio_increase6h[1w:1h] offset 1h) >= 12
            ||| % config,
          },
          {
            record: 'channel:push_messages_clicked_per_received:ratio_increase6h_median1w',
            expr: |||
              quantile_over_time(0.5, channel:push_messages_clicked_per_received:ratio_increase6h[1w:1h] offset 1h)
                and count_over_time(channel:push_messages_clicked_per_received:ratio_increase6h[1w:1h] offset 1h) >= 12
            ||| % config,
          },
          {
            record: 'report:push_data_gap:seconds_max1w',
            expr: 'max_over_time(report:push_data_gap:seconds[1w]) and report:push_data_gap:seconds offset 1d' % config,
          },
          {
            record: 'app:push_message_feed_gap:seconds_max1w',
            expr: 'max_over_time(app:push_message_feed_gap:seconds[1w]) and app:push_message_feed_gap:seconds offset 1d' % config,
          },
        ],
      },
    ],
  },
}
