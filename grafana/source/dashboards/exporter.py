"""Exporter health: does the exporter poll, count and answer? What stands still, since when, and why."""

from . import links, thresholds
from .panels import Column, frame, lines, number, row, states, table
from .queries import APP, DATA_AGE, EXPORTER, now, of_exporters, series, total
from .shared import refused_ids, reports_failing, tracked_messages
from .variables import OF_APPS

UID = "push-exporter"

BY_REPORT = "provider, app, report"
REPORT = "{{app}} {{report}}"
TO_APP = [links.of_line("App", "push-app", ["provider", "app"])]


def _quantile(of, metric, by=""):
    return f"histogram_quantile({of}, {total(f'rate({metric}_bucket{{{EXPORTER}}}[$__rate_interval])', f'{by}le')})"


def _age(metric, by):
    return f"time() - max by ({by}) ({metric}{{{APP}}})"


def dashboard():
    return frame(
        UID,
        "Push / Exporter health",
        "The exporter itself: polls, providers' APIs, message ids, ledger, scrapes and process.",
        OF_APPS,
        number(
            "Exporters down",
            "Exporters that Prometheus cannot scrape. Counters catch up when they are back. From up.",
            "none",
            now(total(of_exporters(f"up{{{EXPORTER}}}") + " == bool 0")),
            limits=thresholds.ANY_IS_BAD,
            words={"0": ("all up", thresholds.WELL)},
            none="no exporter",
        ),
        reports_failing(),
        number(
            "Ledger",
            "Whether every exporter can write its ledger. If not, polls pause and the page stands still until it can: look at "
            "the disk. From push_exporter_ledger_up.",
            "none",
            now(f"min(push_exporter_ledger_up{{{EXPORTER}}})"),
            limits=thresholds.MUST_BE_ONE,
            words={"0": ("failing", "red"), "1": ("up", thresholds.WELL)},
            none="no exporter",
        ),
        number(
            "Configuration",
            "Whether the last reload of the configuration succeeded. If not, the old one goes on, and a restart would "
            "fail.",
            "none",
            now(f"min(push_exporter_config_last_reload_successful{{{EXPORTER}}})"),
            limits=thresholds.MUST_BE_ONE,
            words={"0": ("refused", "orange"), "1": ("loaded", thresholds.WELL)},
            none="no exporter",
        ),
        number(
            "Backlog",
            "How late the oldest poll is. Late polls mean that the budget of requests is too small for the messages "
            "that are tracked, or that a provider is slow. An alert fires above 15 minutes. From "
            "push_poll_due_timestamp_seconds.",
            "s",
            now(f"clamp_min(max(time() - push_poll_due_timestamp_seconds{{{APP}}}), 0)"),
            limits=thresholds.high_is_bad(5 * thresholds.MINUTE, 15 * thresholds.MINUTE),
            none="no polls",
        ),
        number(
            "Task panics, 24 hours",
            "Panics of tasks, contained and tried again. Each is a bug worth a report.",
            "none",
            now(total(f"increase(push_exporter_task_panics_total{{{EXPORTER}}}[1d])")),
            limits=thresholds.ANY_WANTS_A_LOOK,
            none="no exporter",
        ),
        row("Polls"),
        states(
            "Reports",
            "Each report over time: whether its last poll succeeded. A gap: the exporter was not scraped. From "
            "push_up.",
            series(f"min by ({BY_REPORT}) (push_up{{{APP}}})", REPORT),
            words={"0": ("failing", "red"), "1": ("working", thresholds.QUIET)},
            data_links=TO_APP,
            none="No reports",
            height=10,
        ),
        table(
            "Reports now",
            "When each report last succeeded and last brought a new number, how long its last poll took, and when the "
            "next is due. A report that fails is polled more slowly. Feishu and Getui bring new numbers once a day.",
            ["provider", "app", "report"],
            Column("Success", "s", _age("push_poll_last_success_timestamp_seconds", BY_REPORT), width=84),
            Column("New number", "s", DATA_AGE, width=100),
            Column(
                "Took",
                "s",
                f"max by ({BY_REPORT}) (push_poll_duration_seconds{{{APP}}})",
                thresholds.high_is_bad(10, 30),
            ),
            Column(
                "Due in",
                "s",
                f"min by ({BY_REPORT}) (push_poll_due_timestamp_seconds{{{APP}}}) - time()",
                width=84,
            ),
            sort="Success",
            data_links=[links.of_row("App", "push-app", ["provider", "app"])],
            none="No reports",
            span=16,
            height=13,
        ),
        [
            lines(
                "Failed polls, in an hour",
                "Polls that failed in the hour before, by reason. auth, forbidden, not_found and bad_request need a "
                "person; the others are tried again. From push_poll_errors_total.",
                "none",
                series(
                    total(f"increase(push_poll_errors_total{{{APP}}}[1h])", "provider, reason") + " > 0",
                    "{{provider}} {{reason}}",
                ),
                stacked=True,
                many=True,
                none="No poll failed",
                span=8,
                height=6,
            ),
            table(
                "Unknown fields, in the time range",
                "Names in answers that this release does not know: the API has grown. The log names them, a newer release "
                "may count them. From push_unknown_fields_total.",
                ["provider", "report"],
                Column(
                    "New names",
                    "none",
                    "sum by (provider, report) (increase(push_unknown_fields_total"
                    f'{{{EXPORTER}, provider=~"$provider"}}[$__range])) > 0',
                    thresholds.ANY_IS_NEWS,
                ),
                sort="New names",
                none="None",
                span=8,
                height=7,
            ),
        ],
        lines(
            "Age of the numbers",
            "How long ago each report last brought a new number: a saw whose teeth are the provider's rhythm. Teeth "
            "that grow: the provider is late, or nothing is pushed. From push_data_last_change_timestamp_seconds.",
            "s",
            series(DATA_AGE, REPORT),
            many=True,
            data_links=TO_APP,
            none="No rules are evaluated",
        ),
        lines(
            "Since the last success",
            "How long ago each report was last polled with success. From push_poll_last_success_timestamp_seconds.",
            "s",
            series(_age("push_poll_last_success_timestamp_seconds", BY_REPORT), REPORT),
            many=True,
            data_links=TO_APP,
            none="No poll has succeeded",
        ),
        lines(
            "Duration of polls",
            "How long the last poll took, without waiting for quota. A request ends after 30 s. From "
            "push_poll_duration_seconds.",
            "s",
            series(f"max by ({BY_REPORT}) (push_poll_duration_seconds{{{APP}}})", REPORT),
            many=True,
            data_links=TO_APP,
            none="No polls",
        ),
        lines(
            "Lateness of polls",
            "How late the oldest poll of each report is: the backlog. An alert fires above 15 minutes.",
            "s",
            series(f"clamp_min(max by ({BY_REPORT}) (time() - push_poll_due_timestamp_seconds{{{APP}}}), 0)", REPORT),
            limits=thresholds.high_is_bad(5 * thresholds.MINUTE, 15 * thresholds.MINUTE),
            many=True,
            data_links=TO_APP,
            none="No polls",
        ),
        lines(
            "Unaccounted deliveries",
            "The provider's own total of the newest settled window, less what was read of it day by day. Zero: nothing is missing. An "
            "alert fires otherwise. From push_window_unaccounted_messages and push_messages_unaccounted_total.",
            "none",
            series(
                f"max by (provider, app, metric, window) (push_window_unaccounted_messages{{{APP}}})",
                "{{app}} {{metric}} of a {{window}}",
            ),
            series(
                total(f"increase(push_messages_unaccounted_total{{{APP}}}[1d])", "provider, app, metric"),
                "{{app}} {{metric}} of messages, in a day",
            ),
            span=24,
            none="Nothing has been compared yet",
        ),
        row("The providers' APIs"),
        lines(
            "Requests by code",
            "Requests to the providers by status code; none: there was no answer. From push_api_requests_total.",
            "reqps",
            series(
                total(f"rate(push_api_requests_total{{{APP}}}[$__rate_interval])", "provider, code"),
                "{{provider}} {{code}}",
            ),
            stacked=True,
            many=True,
            none="No requests",
            span=8,
        ),
        lines(
            "Quota of requests left",
            "Share of the requests that the provider allows in its window and that are left. When it is used up, "
            "polls wait, and pushes of the same account may be refused. An alert fires below 10 %. From "
            "push_api_quota_remaining and push_api_quota_limit.",
            "percentunit",
            series(
                f"min by (provider, app, api) (push_api_quota_remaining{{{APP}}} / (push_api_quota_limit{{{APP}}} > 0))",
                "{{provider}} {{app}} {{api}}",
            ),
            worst="min",
            limits=thresholds.low_is_bad(0.1, 0.2),
            top=1,
            many=True,
            data_links=TO_APP,
            none="The provider names no quota",
            span=8,
        ),
        lines(
            "Tokens expire in",
            "How long access tokens are still valid; they are renewed ten minutes before, if a poll is due. Below 0 "
            "while polls fail: credentials.",
            "s",
            series(
                f"max by (provider, app) (push_token_expiry_timestamp_seconds{{{APP}}}) - time()",
                "{{provider}} {{app}}",
            ),
            worst="min",
            data_links=TO_APP,
            none="No provider with tokens",
            span=8,
        ),
        row("Message ids"),
        lines(
            "Age of the newest message",
            "How long ago the newest registered message was sent. What is not registered is not counted: when it "
            "grows in working hours, the senders or the message API are broken.",
            "s",
            series(_age("push_newest_message_timestamp_seconds", "provider, app"), "{{app}}"),
            data_links=TO_APP,
            none="No app of JPush",
            span=8,
        ),
        tracked_messages(),
        refused_ids(),
        row("Ledger"),
        lines(
            "Duration of commits",
            "Median and 99th percentile of how long a commit takes. Polls wait for it, scrapes do not. Above a "
            "second: the disk is in trouble.",
            "s",
            series(_quantile(0.5, "push_exporter_ledger_commit_duration_seconds"), "median"),
            series(_quantile(0.99, "push_exporter_ledger_commit_duration_seconds"), "99th percentile"),
            limits=thresholds.high_is_bad(1, 5),
            none="No commits",
            span=6,
        ),
        lines(
            "Since the last commit",
            "How long ago the ledger last committed. It commits with every answer of a provider, so it is as quiet as "
            "they are.",
            "s",
            series(
                f"time() - max by (instance) (push_exporter_ledger_last_commit_timestamp_seconds{{{EXPORTER}}})",
                "{{instance}}",
            ),
            none="No ledger",
            span=6,
        ),
        lines(
            "Errors in an hour",
            "Failures of the ledger in the hour before. Normally 0; polls pause until it can be written again.",
            "none",
            series(total(f"increase(push_exporter_ledger_errors_total{{{EXPORTER}}}[1h])", "instance"), "{{instance}}"),
            limits=thresholds.ANY_IS_BAD,
            none="No ledger",
            span=6,
        ),
        lines(
            "Size",
            "Size of the ledger. It grows with the messages that are tracked, by half a kilobyte each, and not with "
            "time.",
            "bytes",
            series(f"max by (instance) (push_exporter_ledger_size_bytes{{{EXPORTER}}})", "{{instance}}"),
            none="No ledger",
            span=6,
        ),
        row("Answers"),
        lines(
            "HTTP requests",
            "Requests by handler and code. Scrapes are those of metrics.",
            "reqps",
            series(
                total(f"rate(push_exporter_http_requests_total{{{EXPORTER}}}[$__rate_interval])", "handler, code"),
                "{{handler}} {{code}}",
            ),
            many=True,
            none="No requests",
            span=6,
        ),
        lines(
            "Duration of answers",
            "99th percentile by handler. Scrapes are answered from memory: above 100 ms the machine is too busy.",
            "s",
            series(_quantile(0.99, "push_exporter_http_request_duration_seconds", "handler, "), "{{handler}}"),
            none="No requests",
            span=6,
        ),
        lines(
            "Connections",
            "Connections that are open. 512 are allowed, fewer where few files may be open.",
            "none",
            series(f"max by (instance) (push_exporter_http_connections{{{EXPORTER}}})", "{{instance}}"),
            none="No exporter",
            span=6,
        ),
        lines(
            "Scrapes",
            "How long Prometheus waits for a page. From scrape_duration_seconds.",
            "s",
            series(f"max by (instance) {of_exporters(f'scrape_duration_seconds{{{EXPORTER}}}')}", "{{instance}}"),
            none="No exporter",
            span=6,
        ),
        row("Process"),
        lines(
            "CPU",
            "Processor time used, in cores.",
            "percentunit",
            series(
                f"sum by (instance) {of_exporters(f'rate(process_cpu_seconds_total{{{EXPORTER}}}[$__rate_interval])')}",
                "{{instance}}",
            ),
            none="No exporter",
            span=8,
        ),
        lines(
            "Memory",
            "Resident memory. It does not grow with messages.",
            "bytes",
            series(f"max by (instance) {of_exporters(f'process_resident_memory_bytes{{{EXPORTER}}}')}", "{{instance}}"),
            none="No exporter",
            span=8,
        ),
        lines(
            "Open files",
            "Open file descriptors as a share of what is allowed.",
            "percentunit",
            series(
                f"max by (instance) {of_exporters(f'process_open_fds{{{EXPORTER}}} / process_max_fds{{{EXPORTER}}}')}",
                "{{instance}}",
            ),
            limits=thresholds.high_is_bad(0.5, 0.8),
            top=1,
            none="No exporter",
            span=8,
        ),
        table(
            "Exporters",
            "Version of each exporter, when it started and when its configuration was last loaded. From "
            "push_exporter_build_info.",
            ["instance", "version"],
            Column(
                "Started",
                "dateTimeFromNow",
                f"1000 * max by (instance, version) (push_exporter_build_info{{{EXPORTER}}}\n"
                f"  * on (job, instance) group_left () process_start_time_seconds{{{EXPORTER}}})",
            ),
            Column(
                "Configuration loaded",
                "dateTimeFromNow",
                f"1000 * max by (instance) (push_exporter_config_last_reload_success_timestamp_seconds{{{EXPORTER}}})",
            ),
            none="No exporter",
            height=4,
        ),
    )
