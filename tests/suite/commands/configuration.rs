//! Bad configurations: exact messages, exit code 2, and no secret printed.

use push_exporter::provider::registry::PROVIDERS;
use std::path::Path;
use std::process::Output;

use crate::support::Program;

const PLANTED: &str = "pLanted-s3cret";

/// Runs the program on a configuration, beside whatever else is in the folder.
fn run(folder: &Path, text: &str) -> Output {
    std::fs::write(folder.join("push-exporter.yml"), text).unwrap();
    Program::binary().current_dir(folder).env("EMPTY", "").env("PLANTED", PLANTED).output().unwrap()
}

/// Asserts that exactly these errors are printed, each in a line of its own.
fn assert_errors(text: &str, expected: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("empty"), "\n").unwrap();
    let output = run(folder.path(), text);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.lines().collect::<Vec<_>>(), expected, "for\n{text}");
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(!stderr.contains(PLANTED));
}

const EASEMOB: &str = "easemob:
  - app: chat
    base_url: https://a1.easemob.com
    org_name: acme
    app_name: chat
    client_id: YXA6
    client_secret: pLanted-s3cret
";

#[test]
fn unknown_keys() {
    assert_errors(
        &format!("{EASEMOB}    intervall: 1m\n    colour: red\ntime_zone: UTC\n"),
        &[
            "push-exporter.yml:8:5: easemob[0].intervall: unknown key; did you mean interval?",
            "push-exporter.yml:9:5: easemob[0].colour: unknown key",
            "push-exporter.yml:10:1: time_zone: unknown key; did you mean timezone?",
        ],
    );
    assert_errors(
        &format!("{EASEMOB}    intervals: {{ofline_push: 1m}}\n"),
        &["push-exporter.yml:8:17: easemob[0].intervals.ofline_push: unknown key; did you mean offline_push?"],
    );
}

#[test]
fn an_app_key_of_easemob_has_two_parts() {
    let with =
        |key: &str| EASEMOB.replace("    org_name: acme\n    app_name: chat\n", &format!("    app_key: '{key}'\n"));
    for wrong in ["acme", "#chat", "acme#", "#", "acme#chat#more"] {
        let error = "push-exporter.yml:4:14: easemob[0].app_key: must be org#app, as the console shows it";
        assert_errors(&with(wrong), &[error]);
    }
}

#[test]
fn platforms_of_easemob_are_named() {
    for (platforms, told) in [
        ("[]", "must name at least one platform, or ALL"),
        ("[ALL, APNS]", "ALL cannot be combined with other platforms; they are part of it"),
    ] {
        let error = format!("push-exporter.yml:8:16: easemob[0].platforms: {told}");
        assert_errors(&format!("{EASEMOB}    platforms: {platforms}\n"), &[&error]);
    }
}

const ENGAGELAB: &str = "engagelab:
  - app: abroad
    base_url: https://pushapi-sgp.engagelab.com
    app_key: 3a5b5a9d4b0c4c2e9f1d7a60
    master_secret: pLanted-s3cret
";

#[test]
fn the_data_centre_of_engagelab_is_required() {
    let hosts = "https://pushapi-sgp.engagelab.com (Singapore), pushapi-hk (Hong Kong), pushapi-usva (Virginia), pushapi-defra (Frankfurt), pushapi-jpn (Japan), pushapi-bra (Brazil)";
    let without = ENGAGELAB.replace("    base_url: https://pushapi-sgp.engagelab.com\n", "");
    let error = format!(
        "push-exporter.yml:2:5: engagelab[0].base_url: is required, since it differs by data centre, which the console shows: {hosts}"
    );
    assert_errors(&without, &[&error]);
    let error =
        "push-exporter.yml:3:15: engagelab[0].base_url: must not end in /v4, which belongs to the paths of the API";
    for path in ["/v4", "/v4/"] {
        assert_errors(&ENGAGELAB.replace(".com\n", &format!(".com{path}\n")), &[error]);
    }
    let misspelt = ENGAGELAB.replace("base_url", "base_ulr");
    let unknown = "push-exporter.yml:3:5: engagelab[0].base_ulr: unknown key; did you mean base_url?";
    let required = format!(
        "push-exporter.yml:2:5: engagelab[0].base_url: is required, since it differs by data centre, which the console shows: {hosts}"
    );
    assert_errors(&misspelt, &[&required, unknown]);
}

#[test]
fn keys_of_engagelab() {
    for (keys, told) in [
        ("delivery: messages_detail", "6:15: engagelab[0].delivery: must be one of status_detail, none"),
        ("discover: [schedules]", "6:16: engagelab[0].discover[0]: must be one of plans"),
        ("users: [hour]", "6:13: engagelab[0].users[0]: must be one of day"),
        (
            "messages: {ids: [shop-1]}",
            "6:22: engagelab[0].messages.ids[0]: is not a msg_id of EngageLab; use digits that fit 64 bits",
        ),
    ] {
        assert_errors(&format!("{ENGAGELAB}    {keys}\n"), &[&format!("push-exporter.yml:{told}")]);
    }
    let without_reports = format!("{ENGAGELAB}    delivery: none\n    discover: [plans]\n    messages: {{ids: [1]}}\n");
    assert_errors(
        &without_reports,
        &[
            "push-exporter.yml:7:15: engagelab[0].discover: delivery: none polls no messages; choose status_detail, or remove discover",
            "push-exporter.yml:8:15: engagelab[0].messages: delivery: none polls no messages; choose status_detail, or remove messages",
        ],
    );
    assert_errors(
        &ENGAGELAB.replace("3a5b5a9d4b0c4c2e9f1d7a60", "'3a5b:60'"),
        &[
            "push-exporter.yml:4:14: engagelab[0].app_key: is not a key; use letters and digits, without colons or spaces",
        ],
    );
    let twice = format!("{ENGAGELAB}{}", ENGAGELAB.strip_prefix("engagelab:\n").unwrap().replace("abroad", "again"));
    let same = "push-exporter.yml:6:5: engagelab[1]: the same engagelab account as in line 2; its numbers would be counted twice";
    assert_errors(&twice, &[same]);
}

#[test]
fn test_devices_are_limited() {
    let with = |devices: &[String]| {
        format!(
            "jpush:\n  - app: shop\n    app_key: 7d431e42dfa6a6d693ac2d04\n    master_secret: s\n    test_devices:\n{}",
            devices.iter().map(|device| format!("      - {device}\n")).collect::<String>()
        )
    };
    let most: Vec<String> = (0..10_000).map(|device| format!("d{device}")).collect();
    let long = "d".repeat(128);
    let parse = |text: &str| {
        let environment = push_exporter::config::secret::Environment::default();
        push_exporter::provider::config::parse("x.yml", text, Path::new(""), &environment, PROVIDERS).map(|_| ())
    };
    parse(&with(&most)).unwrap();
    parse(&with(std::slice::from_ref(&long))).unwrap();
    let more: Vec<String> = most.iter().cloned().chain(["more".to_owned()]).collect();
    assert!(parse(&with(&more)).unwrap_err().to_string().contains("more than 10000 test devices"));
    let error = parse(&with(&[format!("{long}d")])).unwrap_err().to_string();
    assert!(error.contains("is not a registration id"), "{error}");
}

#[test]
fn an_objective_is_a_ratio() {
    for wrong in ["95", "1", "0", "-0.5", "0.00000001", "NaN", "high"] {
        let error = "push-exporter.yml:8:16: easemob[0].objective: expected a ratio between 0 and 1, such as 0.95";
        assert_errors(&format!("{EASEMOB}    objective: {wrong}\n"), &[error]);
    }
}

#[test]
fn duplicates() {
    let second = "  - app: chat
    base_url: https://a31.easemob.com
    org_name: acme
    app_name: chat
    client_id: YXA7
    client_secret: pLanted-s3cret
";
    assert_errors(
        &format!("{EASEMOB}{second}"),
        &[
            "push-exporter.yml:8:5: easemob[1]: the same easemob account as in line 2; its numbers would be counted twice",
            "push-exporter.yml:8:10: easemob[1].app: the same app name as in line 2; names are unique in the file",
        ],
    );
    assert_errors(&format!("{EASEMOB}    app: twice\n"), &["push-exporter.yml:8:5: easemob[0].app: given twice"]);
}

#[test]
fn wrong_types_and_values() {
    assert_errors(
        "max_age: soon
new_series_hold: [1m]
timezone: Beijing
ledger: postgres
easemob: {app: chat}
feishu:
  - app: bot
    app_id: cli_1
    app_secret: pLanted-s3cret
    base_url: open.feishu.cn
    windows: day
    departments: [od-1, od-1, [x]]
    department_id_type: name
    interval: 0s
",
        &[
            "push-exporter.yml:1:10: max_age: expected a duration such as 30s, 5m, 1h or 7d",
            "push-exporter.yml:2:18: new_series_hold: expected a text, found a list",
            "push-exporter.yml:3:11: timezone: is not a time zone such as Asia/Shanghai",
            "push-exporter.yml:4:9: ledger: must be sqlite:<file> or postgres://<user>@<host>/<database>, for example sqlite:push-exporter.db",
            "push-exporter.yml:5:10: easemob: expected a list, found a mapping",
            "push-exporter.yml:10:15: feishu[0].base_url: is not a URL; it should look like https://host or https://host/path",
            "push-exporter.yml:11:14: feishu[0].windows: expected a list, found a text",
            "push-exporter.yml:12:25: feishu[0].departments[1]: given twice",
            "push-exporter.yml:12:31: feishu[0].departments[2]: expected a text, found a list",
            "push-exporter.yml:13:25: feishu[0].department_id_type: must be open_department_id or department_id",
            "push-exporter.yml:14:15: feishu[0].interval: must be at least 1s",
        ],
    );
}

#[test]
fn ways_by_which_ids_come_from_jpush() {
    assert_errors(
        "jpush:
  - app: none
    app_key: n
    master_secret: pLanted-s3cret
    delivery: none
    discover: [schedules]
    callback_token: pLanted-s3cret
  - app: group
    group_key: g
    group_master_secret: pLanted-s3cret
    discover: [schedules]
    callback_token: pLanted-s3cret
  - app: shop
    app_key: k
    master_secret: pLanted-s3cret
    discover: [plans, schedules, schedules]
    callback_token:
  - app: beijing
    app_key: b
    master_secret: pLanted-s3cret
    base_url: https://bjapi.push.jiguang.cn/v3/report
    discover: [schedules]
  - app: named
    app_key: m
    master_secret: pLanted-s3cret
    callback_tokn: pLanted-s3cret
",
        &[
            "push-exporter.yml:6:15: jpush[0].discover: delivery: none polls no messages; choose a report, or remove discover",
            "push-exporter.yml:7:21: jpush[0].callback_token: delivery: none polls no messages; choose a report, or remove callback_token",
            "push-exporter.yml:11:15: jpush[1].discover: a group has no schedules; put discover under its apps",
            "push-exporter.yml:12:21: jpush[1].callback_token: JPush calls back for an app; put callback_token under the apps of the group",
            "push-exporter.yml:16:16: jpush[2].discover[0]: must be one of schedules",
            "push-exporter.yml:16:34: jpush[2].discover[2]: given twice",
            "push-exporter.yml:17:19: jpush[2].callback_token: has no value",
            "push-exporter.yml:22:15: jpush[3].discover: needs push_url if base_url is not the default (Beijing: https://bjapi.push.jiguang.cn/v3)",
            "push-exporter.yml:26:5: jpush[4].callback_tokn: unknown key; did you mean callback_token?",
        ],
    );
}

#[test]
fn jpush_and_its_messages() {
    assert_errors(
        "message_api: {tokn: pLanted-s3cret}
jpush:
  - app: shop
    app_key: a:b
    master_secret: pLanted-s3cret
    delivery: detail
    newest_messages: -1
    requests_per_minute: 0
    schedule: [{until: 1h, every: 1m}, {until: 30m, every: 0s}, {until: 2h}]
    messages: {ids: ['7', 07, seven, 18446744073709551616], id: 3}
    intervals: {offline_push: 1m}
  - app: other
    master_secret: pLanted-s3cret
    schedule: []
",
        &[
            "push-exporter.yml:1:14: message_api.token: is required; give token, token_file or token: ${ENV_NAME}",
            "push-exporter.yml:1:15: message_api.tokn: unknown key; did you mean token?",
            "push-exporter.yml:4:14: jpush[0].app_key: is not a key; use letters and digits, without colons or spaces",
            "push-exporter.yml:6:15: jpush[0].delivery: must be one of received_detail, messages_detail, received, messages, none",
            "push-exporter.yml:7:22: jpush[0].newest_messages: expected a whole number from 0 to 1000",
            "push-exporter.yml:8:26: jpush[0].requests_per_minute: expected a whole number from 1 to 1000000",
            "push-exporter.yml:9:60: jpush[0].schedule[1].every: must be at least 1s",
            "push-exporter.yml:9:65: jpush[0].schedule[2].every: is required",
            "push-exporter.yml:10:27: jpush[0].messages.ids[1]: given twice",
            "push-exporter.yml:10:31: jpush[0].messages.ids[2]: is not a msg_id; use digits that fit 64 bits",
            "push-exporter.yml:10:38: jpush[0].messages.ids[3]: is not a msg_id; use digits that fit 64 bits",
            "push-exporter.yml:10:61: jpush[0].messages.id: unknown key; did you mean ids?",
            "push-exporter.yml:11:17: jpush[0].intervals.offline_push: unknown key; known keys are received_detail, messages_detail, received, messages, group_messages_detail, status_message, users, group_users, vendor_quota, schedules",
            "push-exporter.yml:12:5: jpush[1].app_key: is required",
            "push-exporter.yml:14:15: jpush[1].schedule: needs at least one step, such as {until: 5d, every: 1h}",
        ],
    );
    assert_errors(
        "jpush:
  - app: shop
    app_key: k
    master_secret: pLanted-s3cret
    users: [day, week]
    test_devices: [1506bfd3a7c568d4761, 'a,b', 1506bfd3a7c568d4761]
    vendor_quota: 'true'
    push_url: api.jpush.cn
    messages: {files: [ids.txt, ./sub/../ids.txt, ids.txt]}
  - {app: none, app_key: n, master_secret: pLanted-s3cret, delivery: none, test_devices: [a], messages: {files: [x]}}
  - {app: all, group_key: g, group_master_secret: pLanted-s3cret, test_devices: [a], vendor_quota: true}
  - {app: beijing, app_key: b, master_secret: pLanted-s3cret, base_url: 'https://bjapi.push.jiguang.cn/v3/report', vendor_quota: true}
",
        &[
            "push-exporter.yml:5:18: jpush[0].users[1]: must be one of hour, day, month",
            "push-exporter.yml:6:41: jpush[0].test_devices[1]: is not a registration id; use letters and digits",
            "push-exporter.yml:6:48: jpush[0].test_devices[2]: given twice",
            "push-exporter.yml:7:19: jpush[0].vendor_quota: expected true or false, found a text",
            "push-exporter.yml:8:15: jpush[0].push_url: is not a URL; it should look like https://host or https://host/path",
            "push-exporter.yml:9:51: jpush[0].messages.files[2]: given twice",
            "push-exporter.yml:10:90: jpush[1].test_devices: delivery: none has no messages to query; choose a report, or remove test_devices",
            "push-exporter.yml:10:105: jpush[1].messages: delivery: none polls no messages; choose a report, or remove the ids and files",
            "push-exporter.yml:11:81: jpush[2].test_devices: a group has no device status; put test_devices under its apps",
            "push-exporter.yml:11:100: jpush[2].vendor_quota: a group has no vendor quotas; put vendor_quota under its apps",
            "push-exporter.yml:12:130: jpush[3].vendor_quota: needs push_url if base_url is not the default (Beijing: https://bjapi.push.jiguang.cn/v3)",
        ],
    );
    let app = "  - {app: shop, app_key: k, master_secret: pLanted-s3cret, schedule: [{until: 1h, every: 1m}, {until: 30m, every: 1m}]}\n";
    assert_errors(
        &format!("jpush:\n{app}"),
        &["push-exporter.yml:2:95: jpush[0].schedule[1]: until must be greater than that of the step before"],
    );
    assert_errors(
        "jpush:
  - {app: all, group_key: group-9439, group_master_secret: pLanted-s3cret, delivery: received, messages: {ids: [Bsp54]}}
  - {app: both, group_key: g, app_key: k, master_secret: pLanted-s3cret}
",
        &[
            "push-exporter.yml:2:86: jpush[0].delivery: a group has one delivery report, group_messages_detail; remove delivery",
            "push-exporter.yml:2:113: jpush[0].messages.ids[0]: is not a group_msgid; use at most 64 characters of a-z and 0-9",
            "push-exporter.yml:3:5: jpush[1].group_master_secret: is required; give group_master_secret, group_master_secret_file or group_master_secret: ${ENV_NAME}",
            "push-exporter.yml:3:40: jpush[1].app_key: cannot be combined with group_key; a group has group_key and group_master_secret",
            "push-exporter.yml:3:58: jpush[1].master_secret: cannot be combined with group_key; a group has group_key and group_master_secret",
        ],
    );
    assert_errors(
        "jpush:
  - {app: all, group_key: group-9439, group_master_secret: pLanted-s3cret}
  - {app: again, group_key: 9439, group_master_secret: pLanted-s3cret}
",
        &["push-exporter.yml:3:5: jpush[1]: the same jpush account as in line 2; its numbers would be counted twice"],
    );
    let app = "  - {app: shop, app_key: k, master_secret: pLanted-s3cret, delivery: none, messages: {ids: [1]}}\n";
    assert_errors(
        &format!("jpush:\n{app}"),
        &[
            "push-exporter.yml:2:86: jpush[0].messages: delivery: none polls no messages; choose a report, or remove the ids and files",
        ],
    );
}

#[test]
fn secrets_that_are_not_there() {
    assert_errors(
        "easemob:
  - {app: a, base_url: https://x, org_name: o, app_name: a, client_id: i, client_secret_file: nowhere}
  - {app: b, base_url: https://x, org_name: o, app_name: b, client_id: i, client_secret_file: empty}
  - {app: c, base_url: https://x, org_name: o, app_name: c, client_id: i, client_secret: '${NOT_SET}'}
  - {app: d, base_url: https://x, org_name: o, app_name: d, client_id: i, client_secret: '${EMPTY}'}
  - {app: e, base_url: https://x, org_name: o, app_name: e, client_id: i}
  - {app: f, base_url: https://x, org_name: o, app_name: f, client_id: i, client_secret: pLanted-s3cret, client_secret_file: empty}
  - {app: g, base_url: https://x, org_name: o, app_name: g, client_id: i, app_token: pLanted-s3cret}
",
        &[
            "push-exporter.yml:2:95: easemob[0].client_secret_file: cannot read nowhere: No such file or directory (os error 2)",
            "push-exporter.yml:3:95: easemob[1].client_secret_file: empty is empty",
            "push-exporter.yml:4:90: easemob[2].client_secret: the environment variable NOT_SET is not set",
            "push-exporter.yml:5:90: easemob[3].client_secret: the environment variable EMPTY is empty",
            "push-exporter.yml:6:5: easemob[4].client_secret: is required; give client_secret, client_secret_file or client_secret: ${ENV_NAME}",
            "push-exporter.yml:7:126: easemob[5].client_secret_file: cannot be combined with client_secret; keep one of them",
            "push-exporter.yml:8:72: easemob[6].client_id: cannot be combined with app_token; keep the token or the client's id and secret",
        ],
    );
}

#[test]
fn what_looks_like_a_secret_and_is_none() {
    assert_errors(
        "feishu:
  - {app: a, app_id: a, app_secret: $NAME}
  - {app: b, app_id: b, app_secret: 'x-${PLANTED}'}
  - {app: c, app_id: c, app_secret: '{{ .Values.secret }}'}
  - {app: d, app_id: d, app_secret: ''}
  - {app: e, app_id: e, app_secret: \"\\n\"}
",
        &[
            "push-exporter.yml:2:37: feishu[0].app_secret: looks like the name of an environment variable; write it as ${NAME}",
            "push-exporter.yml:3:37: feishu[1].app_secret: a variable must be the whole value; set one that holds all of it, and write ${NAME}",
            "push-exporter.yml:4:37: feishu[2].app_secret: is a template that was not rendered; write the value, or ${NAME}, or name a file",
            "push-exporter.yml:5:37: feishu[3].app_secret: must not be empty",
            "push-exporter.yml:6:37: feishu[4].app_secret: the value is empty",
        ],
    );
}

#[test]
fn easemobs_two_names_as_one() {
    let text = EASEMOB.replace("org_name: acme", "app_key: 'acme#chat'").replace("    app_name: chat\n", "");
    let folder = tempfile::tempdir().unwrap();
    let config =
        push_exporter::provider::config::parse("x", &text, folder.path(), &Default::default(), PROVIDERS).unwrap();
    assert_eq!(config.apps[0].account.id(), "acme#chat");
}

#[test]
fn a_lease_is_a_day_at_most_and_postgres_has_two_names() {
    let app = "feishu:\n  - {app: a, app_id: k, app_secret: pLanted-s3cret}\n";
    let folder = tempfile::tempdir().unwrap();
    for scheme in ["postgres", "postgresql"] {
        let text =
            |lease: &str| format!("ledger: {scheme}://push@db/push\nreplica: {{name: r, lease: {lease}}}\n{app}");
        let parse = |text: &str| {
            push_exporter::provider::config::parse("x", text, folder.path(), &Default::default(), PROVIDERS)
        };
        let config = parse(&text("1d")).unwrap();
        assert_eq!((config.ledger.to_string().contains("db"), config.ledger.instance_name().as_str()), (true, "r"));
        let errors = parse(&text("25h")).err().unwrap().to_string();
        assert!(errors.contains("replica.lease: must be at most 1d"), "{errors}");
    }
}

#[test]
fn what_would_fail_or_mislead_later() {
    let app = "jpush:\n  - {app: a, app_key: k, master_secret: pLanted-s3cret}\n";
    for (ledger, told) in [
        (
            "sqlite://relative.db",
            "must be sqlite: and a path, without slashes between them: sqlite:push-exporter.db or sqlite:/var/lib/push-exporter.db",
        ),
        (
            "'sqlite::memory:'",
            "must be a file, since counters continue from it after a restart: sqlite:push-exporter.db",
        ),
        (
            "'sqlite:'",
            "must be sqlite:<file> or postgres://<user>@<host>/<database>, for example sqlite:push-exporter.db",
        ),
        ("sqlite:a.db?mode=rwc", "takes no parameters; remove ? and what follows"),
        ("sqlite:~/a.db", "~ is not expanded; write the whole path"),
        ("'sqlite:${HOME}/a.db'", "takes no variable; only secrets can be given as ${ENV_NAME}"),
    ] {
        assert_errors(&format!("ledger: {ledger}\n{app}"), &[&format!("push-exporter.yml:1:9: ledger: {told}")]);
    }
    assert_errors(
        "ca_file: ~/ca.pem
jpush:
  - {app: ' a', app_key: k, master_secret_file: ~/secret}
  - {app: b, app_key: 'l ', master_secret: pLanted-s3cret, messages: {files: ['ids-*.log', $HOME/ids.log, '/var/log/ids[1].log']}}
easemob:
  - {app: c, base_url: https://x, org_name: acme, app_name: acme#chat, client_id: i, client_secret: pLanted-s3cret}
  - {app: d, base_url: https://x, app_key: acme, client_id: i, client_secret: pLanted-s3cret}
  - {app: e, base_url: https://x, app_key: acme#e, app_name: e, client_id: i, client_secret: pLanted-s3cret}
feishu:
  - {app: f, app_id: f, base_url: https://open.feishu.cn/open-apis/, app_secret: pLanted-s3cret}
",
        &[
            "push-exporter.yml:1:10: ca_file: ~ is not expanded; write the whole path",
            "push-exporter.yml:3:11: jpush[0].app: must not begin or end with a space",
            "push-exporter.yml:3:49: jpush[0].master_secret_file: ~ is not expanded; write the whole path",
            "push-exporter.yml:4:23: jpush[1].app_key: must not begin or end with a space",
            "push-exporter.yml:4:79: jpush[1].messages.files[0]: is a pattern, which is not expanded; name each file",
            "push-exporter.yml:4:92: jpush[1].messages.files[1]: takes no variable; only secrets can be given as ${ENV_NAME}",
            "push-exporter.yml:6:61: easemob[0].app_name: must not hold #; write app_key: org#app instead of org_name and app_name",
            "push-exporter.yml:7:44: easemob[1].app_key: must be org#app, as the console shows it",
            "push-exporter.yml:8:62: easemob[2].app_name: cannot be combined with app_key, which contains it",
            "push-exporter.yml:10:35: feishu[0].base_url: must not hold /open-apis, which is added to it; write the host alone",
        ],
    );
}

#[test]
fn a_secret_beside_the_error() {
    assert_errors(
        "feishu:
  - app: bot
    app_id: cli_1
    app_secret: {pLanted-s3cret: pLanted-s3cret}
    base_url: https://user:pLanted-s3cret@open.feishu.cn
",
        &[
            "push-exporter.yml:4:17: feishu[0].app_secret: expected a text, found a mapping",
            "push-exporter.yml:5:15: feishu[0].base_url: must not hold a user or password",
        ],
    );
    // Not YAML at all, with the secret in the line.
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), "feishu:\n  - app_secret: \"pLanted-s3cret\n");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("push-exporter.yml:") && stderr.contains("not valid YAML: "), "{stderr}");
    assert_eq!((stderr.lines().count(), output.status.code()), (1, Some(2)));
    assert!(!stderr.contains(PLANTED));
}

#[test]
fn files_that_say_nothing() {
    assert_errors("", &["push-exporter.yml:1:1: the file is empty; it needs at least one app"]);
    assert_errors("easemob:\n\t- app: x\n", &["push-exporter.yml:2:1: a tab in the indentation; use spaces"]);
    assert_errors(
        "timezone: UTC\n",
        &[
            "push-exporter.yml:1:1: no app is configured; add one under jpush or easemob or feishu or engagelab or getui or onesignal",
        ],
    );
    assert_errors("- easemob\n", &["push-exporter.yml:1:1: expected a mapping, found a list"]);

    let folder = tempfile::tempdir().unwrap();
    let output = Program::binary().current_dir(folder.path()).output().unwrap();
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "push-exporter.yml:1:1: cannot read the configuration: No such file or directory (os error 2); name it with --config.file, or try the demo command\n"
    );
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn five_errors_at_once() {
    assert_errors(
        "new_series_hold: 5
easemob:
  - app: chat
    org_name: acme
    client_id: i
    client_secret: pLanted-s3cret
    platforms: [ALL, APNS]
    interval: 1x
",
        &[
            "push-exporter.yml:1:18: new_series_hold: expected a duration such as 30s, 5m, 1h or 7d",
            "push-exporter.yml:3:5: easemob[0].base_url: is required",
            "push-exporter.yml:3:5: easemob[0].app_name: is required",
            "push-exporter.yml:7:16: easemob[0].platforms: ALL cannot be combined with other platforms; they are part of it",
            "push-exporter.yml:8:15: easemob[0].interval: expected a duration such as 30s, 5m, 1h or 7d",
        ],
    );
}

#[test]
fn only_secrets_take_variables() {
    assert_errors(
        &EASEMOB.replace("client_id: YXA6", "client_id: ${PLANTED}"),
        &["push-exporter.yml:6:16: easemob[0].client_id: takes no variable; only secrets can be given as ${ENV_NAME}"],
    );
}

#[test]
fn onesignal_apps() {
    assert_errors(
        "onesignal:
  - app: game
    app_id: 5eb5a37e
    api_key: pLanted-s3cret
    delivery: messages
    confirmed_delivery: maybe
    newest_messages: 1001
    base_url: api.onesignal.com
  - app: other
    app_id: 5eb5a37e-b458-11e3-ac11-000c2940e62c
    app_key: pLanted-s3cret
  - app: twice
    app_id: 5EB5A37E-B458-11E3-AC11-000C2940E62C
    api_key: pLanted-s3cret
  - app: again
    app_id: 5eb5a37e-b458-11e3-ac11-000c2940e62c
    api_key: pLanted-s3cret
    messages: {ids: [1]}
    confirmed_delivery: true
    delivery: none
",
        &[
            "push-exporter.yml:3:13: onesignal[0].app_id: is not an App ID; use the UUID that OneSignal shows under Settings > Keys & IDs",
            "push-exporter.yml:5:15: onesignal[0].delivery: must be one of notifications, none",
            "push-exporter.yml:6:25: onesignal[0].confirmed_delivery: must be one of auto, true, false",
            "push-exporter.yml:7:22: onesignal[0].newest_messages: expected a whole number from 0 to 1000",
            "push-exporter.yml:8:15: onesignal[0].base_url: is not a URL; it should look like https://host or https://host/path",
            "push-exporter.yml:9:5: onesignal[1].api_key: is required; give api_key, api_key_file or api_key: ${ENV_NAME}",
            "push-exporter.yml:11:5: onesignal[1].app_key: unknown key; did you mean api_key?",
            "push-exporter.yml:15:5: onesignal[3]: the same onesignal account as in line 12; its numbers would be counted twice",
            "push-exporter.yml:18:5: onesignal[3].messages: unknown key",
        ],
    );
}

#[test]
fn onesignal_speaks_in_utc() {
    let with = |key: &str| {
        let text = format!(
            "timezone: Asia/Tokyo\nonesignal:\n  - app: game\n    app_id: 5eb5a37e-b458-11e3-ac11-000c2940e62c\n    api_key: pLanted-s3cret\n{key}"
        );
        let environment = push_exporter::config::secret::Environment::default();
        let config = push_exporter::provider::config::parse("x.yml", &text, Path::new(""), &environment, PROVIDERS);
        config.unwrap().apps[0].zone.iana_name().map(str::to_owned)
    };
    assert_eq!(with("").as_deref(), Some("UTC"));
    assert_eq!(with("    timezone: Asia/Shanghai\n").as_deref(), Some("Asia/Shanghai"));
}
