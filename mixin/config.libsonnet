// Settings of the mixin with their defaults. The files in prometheus/rules and grafana/dashboards are made with them.
{
  _config+:: {
    // Label matchers that select the series of push-exporter, such as 'job="push-exporter", env="production"'.
    selector: '',

    // Address of Grafana and of the runbook, in the annotations of alerts. By default Prometheus fills in its external labels.
    grafanaUrl: '{{ $externalLabels.grafana }}',
    runbookUrl: '{{ $externalLabels.runbooks }}/RUNBOOK.md',

    // Alerts to make: 'all', or 'minimal' for those of the list `minimal`, which suffice for the first day.
    set: 'all',
    minimal: [
      'PushChannelFailing',
      'PushChannelDeliversNothing',
      'PushReportRefused',
      'PushReportFailing',
      'PushVendorQuotaExhausted',
      'PushMessageFeedDead',
      'PushExporterDown',
      'PushLedgerFailing',
    ],
    // Alerts to leave out, by name.
    disabled: [],
    // Parts of alerts to replace, by name: { PushChannelSlow: { severity: 'info', 'for': '30m' } }.
    overrides: {},
    // Labels that every alert has besides its own.
    alertLabels: {},

    // Tags of the dashboards, which the links between them follow, and their time zone and refresh interval.
    dashboardTags: ['push-exporter'],
    dashboardTimezone: 'browser',
    dashboardRefresh: '1m',

    // Share of pushes that channels should accept, for apps that configure no objective. PushChannelFailing fires if errors of
    // a quarter of an hour are fastBurn times as many as the objective allows, or those of an hour slowBurn times; in any case
    // below these shares of the objective. With an objective of 0.95: below 0.5 and below 0.7.
    objective: 0.95,
    fastBurn: 10,
    fastShare: 0.5,
    slowBurn: 6,
    slowShare: 0.7,

    // Volumes below which a ratio says nothing: pushes in a quarter of an hour (and to say that a channel is well again), in an
    // hour (for PushChannelFailing else in six hours, else in a day), in six hours, in six hours of last week.
    quarterVolume: 50,
    wellVolume: 10,
    hourVolume: 100,
    sixHoursVolume: 500,
    lastWeekVolume: 1000,

    // PushChannelDeliversNothing: pushes in half an hour, the share that arrives, and the share that did within the last day.
    deliversNothingVolume: 50,
    deliversNothingRatio: 0.02,
    deliveredRatio: 0.2,

    // Shares of the median of the past week.
    successFellRatio: 0.9,
    slowRatio: 0.7,
    deliveryFellRatio: 0.8,
    clicksVanishedRatio: 0.2,
    // PushClicksVanished: clicks that would be usual in six hours.
    clicksVolume: 20,

    // PushChannelBadThroughOneProvider: share of what the best provider delivers.
    otherProviderRatio: 0.7,
    // PushVendorBadThroughAllProviders: share of the apps of a provider for which the channel fell.
    vendorAppsRatio: 0.5,

    // PushVolumeCollapsed, PushVolumeDoubled: shares of what was sent a week ago.
    volumeCollapsedRatio: 0.2,
    volumeDoubledRatio: 2,

    // PushDataLate, PushMessageFeedDead: time without anything new, in seconds.
    easemobLateSeconds: 3600,
    jpushLateSeconds: 5400,
    engagelabLateSeconds: 5400,
    onesignalLateSeconds: 5400,
    messageFeedDeadSeconds: 3600,

    // PushApiQuotaNearlyUsed, PushVendorQuotaNearlyUsed: share of the requests left, share of the messages used.
    apiQuotaLeftRatio: 0.1,
    vendorQuotaUsedRatio: 0.9,

    // PushBacklogLate, PushClockSkewed: in seconds.
    backlogLateSeconds: 900,
    clockSkewSeconds: 60,

    // PushNumbersRestated: deliveries in a day, and their share of what was counted.
    restatedVolume: 100,
    restatedRatio: 0.01,

    // PushTestDevicesUndelivered: messages with a known status, and the share that was not delivered.
    testDevicesVolume: 5,
    testDevicesRatio: 0.8,

    // PushWebCertificateExpires: days before the end.
    webCertificateDays: 14,

    // PushSendersRefused: requests in a quarter of an hour. PushTakeoversRepeat: takeovers an app in an hour.
    sendersRefused: 3,
    takeovers: 4,

    // Computed: patterns of the reports of deliveries, of those that count a day at once, whose volume of hours means nothing, and of
    // those whose sent means that the task to send was created.
    deliveryReports:: std.join('|', (import 'reports.json').deliveries),
    dailyReports:: std.join('|', (import 'reports.json').daily),
    handedOverReports:: std.join('|', (import 'reports.json').handedOver),

    // Computed: the selector behind a metric, and before further matchers.
    where:: if self.selector == '' then '' else '{%s}' % self.selector,
    whereAnd:: if self.selector == '' then '' else self.selector + ', ',
  },
}
