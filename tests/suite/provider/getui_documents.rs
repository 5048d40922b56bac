//! Every example of Getui's document gives exactly the readings written out by hand, and so do the cases around them:
//! totals without channels, channels that no document has, tasks that are missing.

use jiff::civil::date;
use push_exporter::model::reading::{Metric, Reading, WindowReadings};
use push_exporter::model::window::Window;
use push_exporter::provider::getui::fields::{parse_day, parse_online_users, parse_quotas, parse_tasks, parse_users};
use push_exporter::provider::{MessageQuery, SnapshotNumbers, WindowAnswer, WindowNumbers};

const PUSH_DATE: &str = include_str!("../../fixtures/getui/push_date.json");
const PUSH_TASK: &str = include_str!("../../fixtures/getui/push_task.json");
const PUSH_TASK_DETAIL: &str = include_str!("../../fixtures/getui/push_task_detail.json");
const PUSH_COUNT: &str = include_str!("../../fixtures/getui/push_count.json");
const USER_DATE: &str = include_str!("../../fixtures/getui/user_date.json");
const ONLINE_USER: &str = include_str!("../../fixtures/getui/online_user.json");

use Metric::{Clicked, Displayed, Failed, Received, Sent, Targeted};

fn the_28th() -> Window {
    Window::day(date(2026, 11, 28))
}

/// Field path, metric, platform, channel, value; sorted by path. The kind is always any.
fn written(readings: &[Reading]) -> Vec<(&str, Metric, &str, &str, i64)> {
    let mut rows: Vec<_> = readings
        .iter()
        .map(|reading| {
            let series = &reading.series;
            assert_eq!(series.kind.as_str(), "any");
            (reading.field.as_str(), series.metric, series.platform.as_str(), series.channel.as_str(), reading.value)
        })
        .collect();
    rows.sort_by_key(|row| row.0);
    rows
}

fn numbers(answer: WindowAnswer) -> (WindowReadings, Vec<String>) {
    let WindowAnswer::Numbers(WindowNumbers { mut windows, unknown, .. }) = answer else { panic!("{answer:?}") };
    assert_eq!(windows.len(), 1);
    (windows.remove(0), unknown)
}

fn query(id: &str, shape: &str, is_young: bool) -> MessageQuery {
    MessageQuery { id: id.to_owned(), shape: shape.to_owned(), is_young }
}

#[test]
fn push_date() {
    let (day, unknown) = numbers(parse_day(PUSH_DATE.as_bytes(), the_28th()).unwrap());
    assert_eq!((day.window, unknown), (the_28th(), vec![]));
    assert_eq!(
        written(&day.readings),
        [
            ("gt.click_num", Clicked, "any", "getui", 20),
            ("gt.display_num", Displayed, "any", "getui", 300),
            ("gt.receive_num", Received, "any", "getui", 380),
            ("gt.target_num", Sent, "any", "getui", 400),
            ("hw.click_num", Clicked, "android", "huawei", 15),
            ("hw.display_num", Displayed, "android", "huawei", 200),
            ("hw.receive_num", Received, "android", "huawei", 320),
            ("hw.target_num", Sent, "android", "huawei", 500),
        ]
    );
}

#[test]
fn every_channel_of_the_table_and_others() {
    let keys = ["gt", "ios", "apn", "hw", "xm", "op", "vv", "mz", "ho", "st", "hoshw", "hwq", "hx"];
    let blocks: Vec<String> = keys.iter().map(|key| format!(r#""{key}":{{"target_num":"1"}}"#)).collect();
    let body = format!(r#"{{"code":"0","data":{{"2026-11-28":{{{}}}}}}}"#, blocks.join(","));
    let (day, mut unknown) = numbers(parse_day(body.as_bytes(), the_28th()).unwrap());
    let labels: Vec<_> =
        written(&day.readings).into_iter().map(|(path, _, os, channel, _)| (path, os, channel)).collect();
    assert_eq!(
        labels,
        [
            ("apn.target_num", "ios", "apns"),
            ("gt.target_num", "any", "getui"),
            ("ho.target_num", "android", "honor"),
            ("hoshw.target_num", "hmos", "hmpns"),
            ("hw.target_num", "android", "huawei"),
            ("hwq.target_num", "any", "hwq"),
            ("hx.target_num", "any", "hx"),
            ("ios.target_num", "ios", "apns"),
            ("mz.target_num", "android", "meizu"),
            ("op.target_num", "android", "oppo"),
            ("st.target_num", "android", "smartisan"),
            ("vv.target_num", "android", "vivo"),
            ("xm.target_num", "android", "xiaomi"),
        ]
    );
    unknown.sort();
    assert_eq!(unknown, ["hwq", "hx"]);
}

#[test]
fn totals_count_only_without_channels() {
    let body = r#"{"code":0,"data":{"2026-11-28":{"total":{"target_num":900,"click_num":null,"lost_num":4},"gt":{},"hw":null}}}"#;
    let (day, unknown) = numbers(parse_day(body.as_bytes(), the_28th()).unwrap());
    assert_eq!(written(&day.readings), [("total.target_num", Sent, "any", "any", 900)]);
    assert_eq!(unknown, ["total.lost_num"]);
}

#[test]
fn a_day_without_numbers_is_no_data() {
    for body in [
        r#"{"code":0,"msg":"success"}"#,
        r#"{"code":0,"data":null}"#,
        r#"{"code":0,"data":{}}"#,
        r#"{"code":0,"data":{"2026-11-28":{}}}"#,
        r#"{"code":0,"data":{"2026-11-28":null}}"#,
        r#"{"code":0,"data":{"2026-11-27":{"gt":{"target_num":1}}}}"#,
    ] {
        assert_eq!(parse_day(body.as_bytes(), the_28th()).unwrap(), WindowAnswer::NoData, "{body}");
    }
    assert!(parse_day(br#"{"code":0,"data":[7]}"#, the_28th()).is_err());
}

#[test]
fn push_task() {
    let numbers =
        parse_tasks(PUSH_TASK.as_bytes(), &[query("RASL_1128_a1", "", true), query("RASL_1128_b2", "", true)]);
    let numbers = numbers.unwrap();
    assert_eq!(numbers.unknown, Vec::<String>::new());
    // The other task is not in the answer: it is unknown, has expired, or went to a single user.
    assert_eq!(numbers.messages.len(), 1);
    assert_eq!(numbers.messages[0].id, "RASL_1128_a1");
    assert_eq!(numbers.messages[0].unaccounted, Some(Vec::new()), "the channels add up to the total");
    assert_eq!(
        written(&numbers.messages[0].readings),
        [
            ("gt.click_num", Clicked, "any", "getui", 5),
            ("gt.display_num", Displayed, "any", "getui", 40),
            ("gt.receive_num", Received, "any", "getui", 48),
            ("gt.target_num", Sent, "any", "getui", 50),
            ("ios.click_num", Clicked, "ios", "apns", 3),
            ("ios.display_num", Displayed, "ios", "apns", 20),
            ("ios.receive_num", Received, "ios", "apns", 42),
            ("ios.target_num", Sent, "ios", "apns", 60),
            ("total.msg_num", Targeted, "any", "any", 120),
        ]
    );
}

#[test]
fn totals_of_a_task_are_compared_with_its_channels() {
    let unaccounted = |blocks: &str| {
        let body = format!(r#"{{"code":0,"data":{{"t":{{{blocks}}}}}}}"#);
        parse_tasks(body.as_bytes(), &[query("t", "", false)]).unwrap().messages.remove(0).unaccounted
    };
    let channels = r#""gt":{"target_num":7,"receive_num":5},"hw":{"target_num":4}"#;
    assert_eq!(
        unaccounted(&format!(r#""total":{{"target_num":13,"receive_num":4,"click_num":1}},{channels}"#)),
        Some(vec![(Sent, 2), (Received, 1)])
    );
    assert_eq!(unaccounted(channels), None);
    assert_eq!(unaccounted(r#""total":{"target_num":13}"#), None);
}

#[test]
fn push_task_with_its_refusals() {
    let numbers = parse_tasks(PUSH_TASK_DETAIL.as_bytes(), &[query("RASL_1128_a1", "", false)]).unwrap();
    assert_eq!(numbers.unknown, Vec::<String>::new());
    let refused: Vec<_> =
        written(&numbers.messages[0].readings).into_iter().filter(|(_, metric, ..)| *metric == Failed).collect();
    assert_eq!(
        refused,
        [
            ("failed_detail.rs.apn.11.total", Failed, "ios", "apns", 2),
            ("failed_detail.rs.gt.12.total", Failed, "any", "getui", 25),
        ]
    );
    assert_eq!(numbers.messages[0].readings.len(), 9 + 2);
}

#[test]
fn the_first_answer_fixes_how_a_task_is_read() {
    let totals = r#"{"code":0,"data":{"t":{"total":{"msg_num":12,"target_num":10}}}}"#;
    let channels = r#"{"code":0,"data":{"t":{"total":{"msg_num":12,"target_num":11},"gt":{"target_num":11}}}}"#;
    let read = |body: &str, shape: &str, is_young: bool| {
        let mut numbers = parse_tasks(body.as_bytes(), &[query("t", shape, is_young)]).unwrap();
        let message = numbers.messages.remove(0);
        let fields: Vec<String> = written(&message.readings).iter().map(|row| row.0.to_owned()).collect();
        (message.shape, fields.join(" "))
    };
    let said = |shape: &str, fields: &str| (shape.to_owned(), fields.to_owned());
    // Channels may still come while the task is young.
    assert_eq!(read(totals, "", true), said("", "total.msg_num"));
    assert_eq!(read(totals, "", false), said("totals", "total.msg_num total.target_num"));
    assert_eq!(read(channels, "", true), said("channels", "gt.target_num total.msg_num"));
    assert_eq!(read(channels, "totals", false), said("totals", "total.msg_num total.target_num"));
    assert_eq!(read(totals, "channels", false), said("channels", "total.msg_num"));
    let nothing = r#"{"code":0,"data":{"t":{}}}"#;
    assert_eq!(read(nothing, "totals", false), said("totals", ""));
    assert_eq!(read(nothing, "", false), said("", ""));
}

/// Channel, class, metric and value.
fn gauges(numbers: &SnapshotNumbers) -> Vec<(String, &str, i64)> {
    let mut rows: Vec<_> = numbers
        .gauges
        .iter()
        .map(|gauge| {
            let labels: Vec<&str> = gauge.labels.iter().map(|(_, label)| label.as_str()).collect();
            (labels.join(" "), gauge.family.name(), gauge.value)
        })
        .collect();
    rows.sort();
    rows
}

#[test]
fn push_count() {
    let numbers = parse_quotas(PUSH_COUNT.as_bytes()).unwrap();
    assert_eq!(numbers.unknown, Vec::<String>::new());
    let (total, used) = ("push_vendor_quota", "push_vendor_quota_used");
    let rows = [
        ("getui app", 100, 2),
        ("getui app_with_tag", 200, 0),
        ("getui list", 500_000, 50_000),
        ("oppo general", 70_000, 1000),
        // More requests than arrivals are allowed.
        ("vivo general", 6000, 6100),
        ("vivo grouppush", 500, 3),
        ("vivo special", 8000, 120),
        ("xiaomi general", 30_000, 18_000),
    ];
    let expected: Vec<_> = rows
        .into_iter()
        .flat_map(|(labels, all, gone)| [(labels.to_owned(), total, all), (labels.to_owned(), used, gone)])
        .collect();
    assert_eq!(gauges(&numbers), expected);
}

#[test]
fn quotas_that_no_document_has() {
    let body = r#"{"code":0,"data":{"zz":{"general":{"total_num":5}},"xm":{"vip":{"push_num":"x","total_num":7,"burst_num":1}},"op":7,"vv":null}}"#;
    let mut numbers = parse_quotas(body.as_bytes()).unwrap();
    numbers.unknown.sort();
    assert_eq!(numbers.unknown, ["op", "xm.vip", "xm.vip.burst_num", "xm.vip.push_num", "zz"]);
    let total = "push_vendor_quota";
    assert_eq!(gauges(&numbers), [("xiaomi vip".to_owned(), total, 7), ("zz general".to_owned(), total, 5)]);
}

#[test]
fn user_date() {
    let (day, unknown) = numbers(parse_users(USER_DATE.as_bytes(), the_28th()).unwrap());
    assert_eq!((day.window, unknown), (the_28th(), vec![]));
    let users: Vec<_> = day.users.iter().map(|users| (users.platform.as_str(), users.state, users.value)).collect();
    assert_eq!(users, [("any", "new", 210), ("any", "active", 9100), ("any", "online", 3300)]);
    let (other, _) = numbers(parse_users(USER_DATE.as_bytes(), Window::day(date(2026, 11, 27))).unwrap());
    assert!(other.users.is_empty());
}

#[test]
fn online_user() {
    let numbers = parse_online_users(ONLINE_USER.as_bytes()).unwrap();
    assert_eq!(gauges(&numbers), [("any online now".to_owned(), "push_users", 3180)]);
    // The greatest key by its number, however the object is ordered.
    let body = r#"{"code":0,"data":{"online_statics":{"1795909800000":"5","999":7,"soon":9}}}"#;
    assert_eq!(gauges(&parse_online_users(body.as_bytes()).unwrap())[0].2, 5);
    assert_eq!(parse_online_users(br#"{"code":0,"data":{}}"#).unwrap(), SnapshotNumbers::default());
}
