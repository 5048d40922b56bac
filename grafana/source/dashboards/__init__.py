"""The Grafana dashboards of push-exporter as code. Each of overview, channel, app and exporter describes one dashboard;
panels, queries, variables, thresholds and links are what they share. `python -m dashboards` writes them as JSON."""
