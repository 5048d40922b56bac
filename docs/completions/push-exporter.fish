# The command is the first word that is neither a flag nor a flag's value.
function __fish_push_exporter_needs_command
    set -l cmd (commandline -opc)
    set -e cmd[1]
    set -l values --config.file --web.listen-address --web.config.file --web.telemetry-path --web.external-url --web.route-prefix --web.max-requests --web.probe-address --log.level --log.format
    while set -q cmd[1]
        if contains -- $cmd[1] $values
            set -e cmd[1]
        else if not string match --quiet -- "-*" $cmd[1]
            echo $cmd[1]
            return 1
        end
        set -e cmd[1]
    end
    return 0
end

function __fish_push_exporter_using_subcommand
    set -l cmd (__fish_push_exporter_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c push-exporter -n "__fish_push_exporter_needs_command" -l config.file -d 'The configuration file [default: push-exporter.yml]' -r -F
complete -c push-exporter -n "__fish_push_exporter_needs_command" -l web.listen-address -d 'Address to serve on; may be given several times. An empty host means all addresses, port 0 a free one' -r
complete -c push-exporter -n "__fish_push_exporter_needs_command" -l web.config.file -d 'File with TLS, users, headers and rate limit, in the format of Prometheus\' exporter-toolkit' -r -F
complete -c push-exporter -n "__fish_push_exporter_needs_command" -l web.telemetry-path -d 'Path of the metrics' -r
complete -c push-exporter -n "__fish_push_exporter_needs_command" -l web.external-url -d 'URL by which the exporter is reached from outside, behind a proxy; its path is the prefix of all links' -r
complete -c push-exporter -n "__fish_push_exporter_needs_command" -l web.route-prefix -d 'Prefix of all paths [default: the path of --web.external-url]' -r
complete -c push-exporter -n "__fish_push_exporter_needs_command" -l web.max-requests -d 'Maximum number of concurrent scrapes; 0 for no limit' -r
complete -c push-exporter -n "__fish_push_exporter_needs_command" -l web.probe-address -d 'Additional address for the health paths only, by plain HTTP whatever the other addresses require' -r
complete -c push-exporter -n "__fish_push_exporter_needs_command" -l log.level -d 'Minimum log level' -r -f -a "debug\t'Debugging information, including requests and retries'
info\t'Changes'
warn\t'Failures'
error\t'Errors that stop the exporter from working'"
complete -c push-exporter -n "__fish_push_exporter_needs_command" -l log.format -d 'Format of the log, which goes to standard error' -r -f -a "logfmt\t'`key=value`'
json\t'One JSON object per line'"
complete -c push-exporter -n "__fish_push_exporter_needs_command" -l web.systemd-socket -d 'Serve on the sockets that systemd passes, instead of --web.listen-address'
complete -c push-exporter -n "__fish_push_exporter_needs_command" -l web.disable-exporter-metrics -d 'Leave out the metrics of the exporter itself (push_exporter_*, process_*)'
complete -c push-exporter -n "__fish_push_exporter_needs_command" -l web.enable-lifecycle -d 'Enable POST /-/reload, which reloads the configuration, and POST /-/poll'
complete -c push-exporter -n "__fish_push_exporter_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c push-exporter -n "__fish_push_exporter_needs_command" -s V -l version -d 'Print version'
complete -c push-exporter -n "__fish_push_exporter_needs_command" -f -a "serve" -d 'Poll the configured apps and serve /metrics (the default)'
complete -c push-exporter -n "__fish_push_exporter_needs_command" -f -a "demo" -d 'Serve against built-in simulators of the providers; nothing to configure'
complete -c push-exporter -n "__fish_push_exporter_needs_command" -f -a "check" -d 'Check the configuration, then query every report once with the real credentials'
complete -c push-exporter -n "__fish_push_exporter_needs_command" -f -a "init" -d 'Print a commented example configuration'
complete -c push-exporter -n "__fish_push_exporter_needs_command" -f -a "health" -d 'Check that an exporter with the same flags is alive, for the health check of a container'
complete -c push-exporter -n "__fish_push_exporter_needs_command" -f -a "messages" -d 'Register message ids with a running exporter'
complete -c push-exporter -n "__fish_push_exporter_using_subcommand serve" -l config.file -d 'The configuration file [default: push-exporter.yml]' -r -F
complete -c push-exporter -n "__fish_push_exporter_using_subcommand serve" -l web.listen-address -d 'Address to serve on; may be given several times. An empty host means all addresses, port 0 a free one' -r
complete -c push-exporter -n "__fish_push_exporter_using_subcommand serve" -l web.config.file -d 'File with TLS, users, headers and rate limit, in the format of Prometheus\' exporter-toolkit' -r -F
complete -c push-exporter -n "__fish_push_exporter_using_subcommand serve" -l web.telemetry-path -d 'Path of the metrics' -r
complete -c push-exporter -n "__fish_push_exporter_using_subcommand serve" -l web.external-url -d 'URL by which the exporter is reached from outside, behind a proxy; its path is the prefix of all links' -r
complete -c push-exporter -n "__fish_push_exporter_using_subcommand serve" -l web.route-prefix -d 'Prefix of all paths [default: the path of --web.external-url]' -r
complete -c push-exporter -n "__fish_push_exporter_using_subcommand serve" -l web.max-requests -d 'Maximum number of concurrent scrapes; 0 for no limit' -r
complete -c push-exporter -n "__fish_push_exporter_using_subcommand serve" -l web.probe-address -d 'Additional address for the health paths only, by plain HTTP whatever the other addresses require' -r
complete -c push-exporter -n "__fish_push_exporter_using_subcommand serve" -l log.level -d 'Minimum log level' -r -f -a "debug\t'Debugging information, including requests and retries'
info\t'Changes'
warn\t'Failures'
error\t'Errors that stop the exporter from working'"
complete -c push-exporter -n "__fish_push_exporter_using_subcommand serve" -l log.format -d 'Format of the log, which goes to standard error' -r -f -a "logfmt\t'`key=value`'
json\t'One JSON object per line'"
complete -c push-exporter -n "__fish_push_exporter_using_subcommand serve" -l web.systemd-socket -d 'Serve on the sockets that systemd passes, instead of --web.listen-address'
complete -c push-exporter -n "__fish_push_exporter_using_subcommand serve" -l web.disable-exporter-metrics -d 'Leave out the metrics of the exporter itself (push_exporter_*, process_*)'
complete -c push-exporter -n "__fish_push_exporter_using_subcommand serve" -l web.enable-lifecycle -d 'Enable POST /-/reload, which reloads the configuration, and POST /-/poll'
complete -c push-exporter -n "__fish_push_exporter_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c push-exporter -n "__fish_push_exporter_using_subcommand serve" -s V -l version -d 'Print version'
complete -c push-exporter -n "__fish_push_exporter_using_subcommand demo" -l web.listen-address -d 'Address to serve on; may be given several times. An empty host means all addresses, port 0 a free one' -r
complete -c push-exporter -n "__fish_push_exporter_using_subcommand demo" -l web.config.file -d 'File with TLS, users, headers and rate limit, in the format of Prometheus\' exporter-toolkit' -r -F
complete -c push-exporter -n "__fish_push_exporter_using_subcommand demo" -l web.telemetry-path -d 'Path of the metrics' -r
complete -c push-exporter -n "__fish_push_exporter_using_subcommand demo" -l web.external-url -d 'URL by which the exporter is reached from outside, behind a proxy; its path is the prefix of all links' -r
complete -c push-exporter -n "__fish_push_exporter_using_subcommand demo" -l web.route-prefix -d 'Prefix of all paths [default: the path of --web.external-url]' -r
complete -c push-exporter -n "__fish_push_exporter_using_subcommand demo" -l web.max-requests -d 'Maximum number of concurrent scrapes; 0 for no limit' -r
complete -c push-exporter -n "__fish_push_exporter_using_subcommand demo" -l web.probe-address -d 'Additional address for the health paths only, by plain HTTP whatever the other addresses require' -r
complete -c push-exporter -n "__fish_push_exporter_using_subcommand demo" -l log.level -d 'Minimum log level' -r -f -a "debug\t'Debugging information, including requests and retries'
info\t'Changes'
warn\t'Failures'
error\t'Errors that stop the exporter from working'"
complete -c push-exporter -n "__fish_push_exporter_using_subcommand demo" -l log.format -d 'Format of the log, which goes to standard error' -r -f -a "logfmt\t'`key=value`'
json\t'One JSON object per line'"
complete -c push-exporter -n "__fish_push_exporter_using_subcommand demo" -l web.systemd-socket -d 'Serve on the sockets that systemd passes, instead of --web.listen-address'
complete -c push-exporter -n "__fish_push_exporter_using_subcommand demo" -l web.disable-exporter-metrics -d 'Leave out the metrics of the exporter itself (push_exporter_*, process_*)'
complete -c push-exporter -n "__fish_push_exporter_using_subcommand demo" -l web.enable-lifecycle -d 'Enable POST /-/reload, which reloads the configuration, and POST /-/poll'
complete -c push-exporter -n "__fish_push_exporter_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c push-exporter -n "__fish_push_exporter_using_subcommand demo" -s V -l version -d 'Print version'
complete -c push-exporter -n "__fish_push_exporter_using_subcommand check" -l config.file -d 'The configuration file [default: push-exporter.yml]' -r -F
complete -c push-exporter -n "__fish_push_exporter_using_subcommand check" -l web.config.file -d 'File with TLS, users, headers and rate limit, in the format of Prometheus\' exporter-toolkit' -r -F
complete -c push-exporter -n "__fish_push_exporter_using_subcommand check" -l log.level -d 'Minimum log level' -r -f -a "debug\t'Debugging information, including requests and retries'
info\t'Changes'
warn\t'Failures'
error\t'Errors that stop the exporter from working'"
complete -c push-exporter -n "__fish_push_exporter_using_subcommand check" -l log.format -d 'Format of the log, which goes to standard error' -r -f -a "logfmt\t'`key=value`'
json\t'One JSON object per line'"
complete -c push-exporter -n "__fish_push_exporter_using_subcommand check" -l offline -d 'Check only the configuration, without querying any provider'
complete -c push-exporter -n "__fish_push_exporter_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c push-exporter -n "__fish_push_exporter_using_subcommand check" -s V -l version -d 'Print version'
complete -c push-exporter -n "__fish_push_exporter_using_subcommand init" -l config.file -d 'The configuration file [default: push-exporter.yml]' -r -F
complete -c push-exporter -n "__fish_push_exporter_using_subcommand init" -l log.level -d 'Minimum log level' -r -f -a "debug\t'Debugging information, including requests and retries'
info\t'Changes'
warn\t'Failures'
error\t'Errors that stop the exporter from working'"
complete -c push-exporter -n "__fish_push_exporter_using_subcommand init" -l log.format -d 'Format of the log, which goes to standard error' -r -f -a "logfmt\t'`key=value`'
json\t'One JSON object per line'"
complete -c push-exporter -n "__fish_push_exporter_using_subcommand init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c push-exporter -n "__fish_push_exporter_using_subcommand init" -s V -l version -d 'Print version'
complete -c push-exporter -n "__fish_push_exporter_using_subcommand health" -l web.listen-address -d 'Address to serve on; may be given several times. An empty host means all addresses, port 0 a free one' -r
complete -c push-exporter -n "__fish_push_exporter_using_subcommand health" -l web.config.file -d 'File with TLS, users, headers and rate limit, in the format of Prometheus\' exporter-toolkit' -r -F
complete -c push-exporter -n "__fish_push_exporter_using_subcommand health" -l web.external-url -d 'URL by which the exporter is reached from outside, behind a proxy; its path is the prefix of all links' -r
complete -c push-exporter -n "__fish_push_exporter_using_subcommand health" -l web.route-prefix -d 'Prefix of all paths [default: the path of --web.external-url]' -r
complete -c push-exporter -n "__fish_push_exporter_using_subcommand health" -l web.probe-address -d 'Additional address for the health paths only, by plain HTTP whatever the other addresses require' -r
complete -c push-exporter -n "__fish_push_exporter_using_subcommand health" -l log.level -d 'Minimum log level' -r -f -a "debug\t'Debugging information, including requests and retries'
info\t'Changes'
warn\t'Failures'
error\t'Errors that stop the exporter from working'"
complete -c push-exporter -n "__fish_push_exporter_using_subcommand health" -l log.format -d 'Format of the log, which goes to standard error' -r -f -a "logfmt\t'`key=value`'
json\t'One JSON object per line'"
complete -c push-exporter -n "__fish_push_exporter_using_subcommand health" -l web.systemd-socket -d 'Serve on the sockets that systemd passes, instead of --web.listen-address'
complete -c push-exporter -n "__fish_push_exporter_using_subcommand health" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c push-exporter -n "__fish_push_exporter_using_subcommand health" -s V -l version -d 'Print version'
complete -c push-exporter -n "__fish_push_exporter_using_subcommand messages; and not __fish_seen_subcommand_from add" -l log.level -d 'Minimum log level' -r -f -a "debug\t'Debugging information, including requests and retries'
info\t'Changes'
warn\t'Failures'
error\t'Errors that stop the exporter from working'"
complete -c push-exporter -n "__fish_push_exporter_using_subcommand messages; and not __fish_seen_subcommand_from add" -l log.format -d 'Format of the log, which goes to standard error' -r -f -a "logfmt\t'`key=value`'
json\t'One JSON object per line'"
complete -c push-exporter -n "__fish_push_exporter_using_subcommand messages; and not __fish_seen_subcommand_from add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c push-exporter -n "__fish_push_exporter_using_subcommand messages; and not __fish_seen_subcommand_from add" -s V -l version -d 'Print version'
complete -c push-exporter -n "__fish_push_exporter_using_subcommand messages; and not __fish_seen_subcommand_from add" -f -a "add" -d 'Register message ids from standard input: one id a line, or one JSON object with msg_id, app and sent_at'
complete -c push-exporter -n "__fish_push_exporter_using_subcommand messages; and __fish_seen_subcommand_from add" -l url -d 'URL of the running exporter' -r
complete -c push-exporter -n "__fish_push_exporter_using_subcommand messages; and __fish_seen_subcommand_from add" -l token-file -d 'File with the token of message_api' -r -F
complete -c push-exporter -n "__fish_push_exporter_using_subcommand messages; and __fish_seen_subcommand_from add" -l app -d 'App for lines that name no app' -r
complete -c push-exporter -n "__fish_push_exporter_using_subcommand messages; and __fish_seen_subcommand_from add" -l log.level -d 'Minimum log level' -r -f -a "debug\t'Debugging information, including requests and retries'
info\t'Changes'
warn\t'Failures'
error\t'Errors that stop the exporter from working'"
complete -c push-exporter -n "__fish_push_exporter_using_subcommand messages; and __fish_seen_subcommand_from add" -l log.format -d 'Format of the log, which goes to standard error' -r -f -a "logfmt\t'`key=value`'
json\t'One JSON object per line'"
complete -c push-exporter -n "__fish_push_exporter_using_subcommand messages; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c push-exporter -n "__fish_push_exporter_using_subcommand messages; and __fish_seen_subcommand_from add" -s V -l version -d 'Print version'
