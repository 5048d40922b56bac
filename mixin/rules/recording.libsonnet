// Recording rules: the funnel of pushes as ratios, over windows from 15 minutes to a day; which channels are bad now; what they
// were in the past week; ages. docs/alerts.md explains the names.
//
// No level has the instance, so that history survives an exporter that moves; environments need jobs of their own.
//
// A ratio is taken over series that have both sides, with the same kind. Numerators (a_with_b) and denominators (b_with_a)
// are recorded beside it: the ratio of any selection is sum(numerator) / sum(denominator), never an average of ratios.
//
// Each is read by an alert, a dashboard or another rule, and the same metric has the same expression in every window (a test looks).
{
  local config = $._config,

  // Returns a rule whose name ends with its window. In the expression %(window)s is the window, %(channel)s the sum over
  // the labels of a channel, %(matching)s the match of series that differ in the metric alone.
  local increase(window, name, expression) = {
    record: '%s:increase%s' % [name, window],
    expr: expression % (config {
      window: window,
      channel: 'sum by (job, provider, app, platform, channel)',
      matching: 'on (job, provider, app, platform, channel, kind)',
    }),
  },
  // Returns the rule of a ratio of two increases.
  local ratio(window, name, numerator, denominator) = {
    record: 'channel:%s:ratio_increase%s' % [name, window],
    expr: |||
      channel:%(numerator)s:increase%(window)s
        / (channel:%(denominator)s:increase%(window)s > 0)
    ||| % { numerator: numerator, denominator: denominator, window: window },
  },
  // Returns the rule of what one metric has where another one is there.
  local beside(window, name, metric, other) = increase(
    window,
    'channel:' + name,
    '%%(channel)s (increase(%s%%(where)s[%%(window)s]) and %%(matching)s %s%%(where)s)' % [metric, other]
  ),

  // What was sent. The volume of hours of apps that count a day at once means nothing.
  local isDaily = 'on (job, provider, app) push_window_end_timestamp_seconds{%(whereAnd)sreport=~"%(dailyReports)s"}' % config,
  local volumes(window, withDaily=false) = [
    increase(
      window,
      'channel:push_messages_sent',
      |||
        %(channel)s (increase(push_messages_sent_total%(where)s[%(window)s]))
          and on (job, provider, app, platform, channel) push_messages_sent_total%(where)s
      ||| + (if withDaily then '' else '  unless %s\n' % isDaily)
    ),
    increase(
      window,
      'app:push_messages_sent',
      'sum by (job, provider, app) (channel:push_messages_sent:increase%(window)s)'
    ),
  ],
  // What a channel accepted of what it was given. Easemob tells sent and failed, JPush targeted and sent.
  local success(window) = [
    increase(window, 'channel:push_messages_accepted_with_attempted', |||
      %(channel)s (
        increase(push_messages_sent_total%(where)s[%(window)s]) and %(matching)s (push_messages_failed_total%(where)s or push_messages_targeted_total%(where)s)
      )
    |||),
    increase(window, 'channel:push_messages_attempted_with_accepted', |||
      %(channel)s (
        (increase(push_messages_sent_total%(where)s[%(window)s]) + increase(push_messages_failed_total%(where)s[%(window)s]) and %(matching)s push_messages_failed_total%(where)s)
          or (increase(push_messages_targeted_total%(where)s[%(window)s]) and %(matching)s push_messages_sent_total%(where)s)
      )
    |||),
  ],
  local successRatio(window) = ratio(
    window,
    'push_messages_accepted_per_attempted',
    'push_messages_accepted_with_attempted',
    'push_messages_attempted_with_accepted'
  ),
  // What arrived of what was sent.
  local delivery(window) = [
    beside(window, 'push_messages_received_with_sent', 'push_messages_received_total', 'push_messages_sent_total'),
    beside(window, 'push_messages_sent_with_received', 'push_messages_sent_total', 'push_messages_received_total'),
  ],
  // Delivery in six hours, or in the last hour if that is better: low until what is sent now arrives again.
  local recentDelivery = {
    record: 'channel:push_messages_received_per_sent:ratio_recent',
    expr: |||
      channel:push_messages_received_with_sent:increase1h / (channel:push_messages_sent_with_received:increase1h > %(hourVolume)g)
        > channel:push_messages_received_per_sent:ratio_increase6h
        or channel:push_messages_received_per_sent:ratio_increase6h
    ||| % config,
  },
  // What was shown of what arrived.
  local display(window) = [
    beside(window, 'push_messages_displayed_with_received', 'push_messages_displayed_total', 'push_messages_received_total'),
    beside(window, 'push_messages_received_with_displayed', 'push_messages_received_total', 'push_messages_displayed_total'),
  ],
  // What was clicked of what arrived. Older reports split clicks by kind and what arrived not (kind any).
  local clicks(window) = [
    increase(window, 'channel:push_messages_clicked_with_received', |||
      %(channel)s (
        (increase(push_messages_clicked_total%(where)s[%(window)s]) and %(matching)s push_messages_received_total%(where)s)
          or (increase(push_messages_clicked_total%(where)s[%(window)s])
            and on (job, provider, app, platform, channel) push_messages_received_total{%(whereAnd)skind="any"})
      )
    |||),
    increase(window, 'channel:push_messages_received_with_clicked', |||
      %(channel)s (
        (increase(push_messages_received_total%(where)s[%(window)s]) and %(matching)s push_messages_clicked_total%(where)s)
          or (increase(push_messages_received_total{%(whereAnd)skind="any"}[%(window)s])
            and on (job, provider, app, platform, channel) push_messages_clicked_total%(where)s)
      )
    |||),
  ],

  // Matches series of a channel with those of its app.
  local ofApp = 'on (job, provider, app) group_left ()',
  // Returns the success below which a channel fails: an error budget that burns `burn` times as fast as the objective
  // allows. With a low objective that can be more errors than there are pushes, so a share of the objective is the least.
  local failingBelow(burn, share) = |||
    (%(share)g * app:push_objective:ratio > 1 - %(burn)g * (1 - app:push_objective:ratio))
      or 1 - %(burn)g * (1 - app:push_objective:ratio)
  ||| % { burn: burn, share: share },

  prometheusRules+:: {
    groups+: [
      {
        name: 'push-funnel-15m',
        interval: '1m',
        rules: success('15m') + [successRatio('15m')],
      },
      {
        name: 'push-funnel-1h',
        interval: '1m',
        rules: volumes('1h') + success('1h') + [successRatio('1h')] + delivery('1h'),
      },
      {
        name: 'push-funnel-6h',
        interval: '2m',
        rules:
          volumes('6h')
          + success('6h')
          + delivery('6h')
          + [ratio('6h', 'push_messages_received_per_sent', 'push_messages_received_with_sent', 'push_messages_sent_with_received')]
          + [recentDelivery]
          + display('6h')
          + clicks('6h')
          + [ratio('6h', 'push_messages_clicked_per_received', 'push_messages_clicked_with_received', 'push_messages_received_with_clicked')],
      },
      {
        name: 'push-funnel-1d',
        interval: '4m',
        rules: volumes('1d', withDaily=true) + success('1d') + delivery('1d') + display('1d') + clicks('1d'),
      },
      // Which channels are bad now. Alerts and dashboards read these, and alerts about less are silent while one of them holds.
      {
        name: 'push-channels-now',
        interval: '1m',
        rules: [
          // The share of pushes that channels should accept: by app as configured, else the default.
          {
            record: 'app:push_objective:ratio',
            expr: |||
              max by (job, provider, app) (push_objective_ratio%(where)s)
                or group by (job, provider, app) (channel:push_messages_attempted_with_accepted:increase1d) * 0 + %(objective)g
            ||| % config,
          },
          {
            record: 'app:push_objective:ratio_fast',
            expr: failingBelow(config.fastBurn, config.fastShare),
          },
          {
            record: 'app:push_objective:ratio_slow',
            expr: failingBelow(config.slowBurn, config.slowShare),
          },
          // Success over the shortest window that has enough pushes.
          {
            record: 'channel:push_messages_accepted_per_attempted:ratio_recent',
            expr: |||
              channel:push_messages_accepted_with_attempted:increase1h / (channel:push_messages_attempted_with_accepted:increase1h > %(hourVolume)g)
                or channel:push_messages_accepted_with_attempted:increase6h / (channel:push_messages_attempted_with_accepted:increase6h > %(hourVolume)g)
                or channel:push_messages_accepted_with_attempted:increase1d / (channel:push_messages_attempted_with_accepted:increase1d > %(hourVolume)g)
            ||| % config,
          },
          // Bad in the last quarter of an hour, or for longer and not well again. With few pushes, an hour says that it is well.
          {
            record: 'channel:push_messages_accepted_per_attempted:ratio_failing',
            expr: |||
              (
                channel:push_messages_accepted_per_attempted:ratio_increase15m < %(ofApp)s app:push_objective:ratio_fast
                  and channel:push_messages_attempted_with_accepted:increase15m > %(quarterVolume)g
              )
              or (
                channel:push_messages_accepted_per_attempted:ratio_recent < %(ofApp)s app:push_objective:ratio_slow
                  unless (
                    channel:push_messages_accepted_per_attempted:ratio_increase15m >= %(ofApp)s app:push_objective:ratio_slow
                      and channel:push_messages_attempted_with_accepted:increase15m > %(wellVolume)g
                  )
                  unless (
                    channel:push_messages_accepted_per_attempted:ratio_increase1h >= %(ofApp)s app:push_objective:ratio_slow
                      and channel:push_messages_attempted_with_accepted:increase1h > %(wellVolume)g
                      unless channel:push_messages_attempted_with_accepted:increase15m > %(wellVolume)g
                  )
              )
            ||| % (config { ofApp: ofApp }),
          },
          // Nothing arrives, although some did within the last day. It needs no week of history.
          {
            record: 'channel:push_messages_received_per_sent:ratio_nothing',
            expr: |||
              (
                (
                  sum by (job, provider, app, platform, channel) (increase(push_messages_received_total%(where)s[30m]))
                    / (
                      sum by (job, provider, app, platform, channel) (
                        increase(push_messages_sent_total%(where)s[30m]) and on (job, provider, app, platform, channel, kind) push_messages_received_total%(where)s
                      ) > %(deliversNothingVolume)g
                    )
                  or channel:push_messages_received_with_sent:increase6h
                    / (channel:push_messages_sent_with_received:increase6h > %(deliversNothingVolume)g)
                ) < %(deliversNothingRatio)g
              )
                and channel:push_messages_received_with_sent:increase1d > %(deliveredRatio)g * channel:push_messages_sent_with_received:increase1d
                unless %(isDaily)s
            ||| % (config { isDaily: isDaily }),
          },
          // Providers through which a vendor's channel fell for most apps, if these are all that have it and more than one.
          {
            record: 'vendor:push_providers_fell:count',
            expr: |||
              count by (job, platform, channel) (vendor:push_apps_fell:count >= %(vendorAppsRatio)g * vendor:push_apps_told:count)
                >= count by (job, platform, channel) (vendor:push_apps_told:count) > 1
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
      // JPush's messages_detail and in EngageLab's status_detail it means that the task to send was created. Which report an app has
      // shows in its last success.
      {
        name: 'push-vendors',
        interval: '1m',
        rules: [
          {
            record: 'vendor:push_messages_received_with_accepted:increase1h',
            expr: |||
              sum by (job, provider, platform, channel) (
                channel:push_messages_received_with_sent:increase1h
                  unless on (job, provider, app) push_poll_last_success_timestamp_seconds{%(whereAnd)sreport=~"%(handedOverReports)s"}
              )
            ||| % config,
          },
          {
            record: 'vendor:push_messages_accepted_with_received:increase1h',
            expr: |||
              sum by (job, provider, platform, channel) (
                channel:push_messages_sent_with_received:increase1h
                  unless on (job, provider, app) push_poll_last_success_timestamp_seconds{%(whereAnd)sreport=~"%(handedOverReports)s"}
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
                channel:push_messages_received_per_sent:ratio_recent
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
      // The funnel by category, of messages that were registered with one.
      {
        name: 'push-categories',
        interval: '4m',
        rules: [
          {
            record: 'category:push_messages_%s:increase1d' % metric,
            expr: 'sum by (job, provider, app, category) (increase(push_messages_%s_total{%scategory!=""}[1d]))' % [metric, config.whereAnd],
          }
          for metric in ['targeted', 'sent', 'received', 'displayed', 'clicked']
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
