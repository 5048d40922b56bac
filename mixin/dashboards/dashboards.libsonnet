// The dashboards, which grafana/source writes, with the settings that concern them.
{
  local config = $._config,

  local variable(model) = model + (
    // All of a list then means what is in the list, and not every series.
    if model.name == 'job' && config.selector != '' then {
      query: 'label_values(push_exporter_build_info%s, job)' % config.where,
      allValue: null,
    } else {}
  ),
  // Prometheus fills in the default in alerts; Grafana cannot.
  local isRunbook(model) = model.title == 'Runbook' && !std.startsWith(config.runbookUrl, '{{'),
  local link(model) = model + (
    if model.type == 'dashboards' then { tags: config.dashboardTags }
    else if isRunbook(model) then { url: config.runbookUrl }
    else {}
  ),
  local dashboard(model) = model {
    tags: config.dashboardTags,
    timezone: config.dashboardTimezone,
    refresh: config.dashboardRefresh,
    links: std.map(link, model.links),
    templating+: { list: std.map(variable, super.list) },
  },

  grafanaDashboards+:: {
    'push-overview.json': dashboard(import '../../grafana/dashboards/push-overview.json'),
    'push-channel.json': dashboard(import '../../grafana/dashboards/push-channel.json'),
    'push-app.json': dashboard(import '../../grafana/dashboards/push-app.json'),
    'push-exporter.json': dashboard(import '../../grafana/dashboards/push-exporter.json'),
  },
}
