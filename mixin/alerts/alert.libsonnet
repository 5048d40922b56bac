// Builds an alert from its expression and words: labels, links to the dashboard and the runbook, and what the settings change.
{
  local config = $._config,

  // Returns the alert `name`, or nothing if the settings leave it out; to be added to a list of rules.
  alert(name, alert)::
    local overridden = alert + std.get(config.overrides, name, {});
    local isLeftOut = std.member(config.disabled, name) || (config.set == 'minimal' && !std.member(config.minimal, name));
    local variables = ['var-%(name)s={{ $labels.%(name)s | urlquery }}' % { name: name } for name in overridden.variables];
    if isLeftOut then [] else [
      {
        alert: name,
        expr: overridden.expr,
        [if 'for' in overridden then 'for']: overridden['for'],
        [if 'keepFiringFor' in overridden then 'keep_firing_for']: overridden.keepFiringFor,
        labels: { product: 'push-exporter', severity: overridden.severity } + std.get(overridden, 'labels', {}) + config.alertLabels,
        annotations: {
          summary: overridden.summary,
          // Lines are broken for the reader of the source only.
          description: std.strReplace(std.rstripChars(overridden.description, '\n'), '\n', ' '),
          dashboard_url: '%s/d/%s%s' % [
            config.grafanaUrl,
            overridden.dashboard,
            if variables == [] then '' else '?' + std.join('&', variables),
          ],
          runbook_url: '%s#%s' % [config.runbookUrl, std.asciiLower(name)],
        },
      },
    ],
}
