//! Every example of EngageLab's document gives exactly the readings written out by hand; and what the document leaves out or
//! spells in two ways: shapes, kinds, channels, ids.

use jiff::civil::date;
use push_exporter::model::reading::Metric::{self, Clicked, Displayed, Received, Sent, Targeted};
use push_exporter::model::window::Window;
use push_exporter::provider::engagelab::{parse_detail, parse_plan_messages, parse_plans, parse_users};
use push_exporter::provider::{FoundMessage, Listing, MessageNumbers, MessageQuery, Origin, WindowQuery};

use crate::support::readings::{Row, row, sorted, written};

const STATUS_DETAIL: &str = include_str!("../../fixtures/engagelab/status_detail.json");
const STATUS_USERS: &str = include_str!("../../fixtures/engagelab/status_users.json");
const PUSH_PLAN_LIST: &str = include_str!("../../fixtures/engagelab/push_plan_list.json");
const STATUS_PLAN_MSG: &str = include_str!("../../fixtures/engagelab/status_plan_msg.json");

fn query(id: &str, shape: &str, is_young: bool) -> MessageQuery {
    MessageQuery { id: id.to_owned(), shape: shape.to_owned(), is_young }
}

fn detail(body: &str, earlier: &[MessageQuery]) -> MessageNumbers {
    parse_detail(body.as_bytes(), earlier).unwrap()
}

/// An answer about message 1 of this shape; readings, the shape from then on, and unknown names.
fn shaped(message: &str, shape: &str) -> (Vec<Row>, String, Vec<String>) {
    let numbers = detail(&format!(r#"{{"1":{message}}}"#), &[query("1", shape, false)]);
    (written(&numbers, "1"), numbers.messages[0].shape.clone(), numbers.unknown)
}

/// The five counts of a leaf, in the order of the document.
fn five(path: &str, [platform, channel, kind]: [&str; 3], counts: [i64; 5]) -> Vec<Row> {
    let fields: [(&str, Metric); 5] = [
        ("targets", Targeted),
        ("sent", Sent),
        ("delivered", Received),
        ("impressions", Displayed),
        ("clicks", Clicked),
    ];
    let rows = fields.into_iter().zip(counts);
    rows.map(|((field, metric), count)| row(&format!("{path}{field}"), metric, platform, channel, kind, count))
        .collect()
}

#[test]
fn the_example_of_messages() {
    let old = [query("8000000001", "", false), query("8000000002", "", false)];
    let numbers = detail(STATUS_DETAIL, &old);
    assert_eq!(numbers.unknown, Vec::<String>::new());
    assert_eq!(numbers.messages.len(), 2);
    let path = "sub.notification.sub_";
    let leaf = |name: &str, [platform, channel]: [&str; 2], counts| {
        five(&format!("{path}{name}."), [platform, channel, "notification"], counts)
    };
    let expected = [
        leaf("android.engageLab_android", ["android", "engagelab"], [100, 90, 80, 70, 5]),
        leaf("android.huawei", ["android", "huawei"], [100, 90, 80, 20, 0]),
        leaf("android.fcm", ["android", "fcm"], [900, 880, 800, 700, 60]),
        leaf("ios.engageLab_ios", ["ios", "engagelab"], [0, 0, 0, 0, 0]),
        leaf("ios.apns", ["ios", "apns"], [400, 290, 240, 230, 25]),
        leaf("hmos.harmonyos", ["hmos", "hmpns"], [10, 10, 8, 8, 1]),
    ];
    assert_eq!(written(&numbers, "8000000001"), sorted(expected.concat()));
    // The second message has totals alone.
    assert_eq!(written(&numbers, "8000000002"), sorted(five("", ["any", "any", "any"], [40, 39, 33, 20, 4])));
    let shapes: Vec<&str> = numbers.messages.iter().map(|message| message.shape.as_str()).collect();
    assert_eq!(shapes, ["d +notification", "o"]);
}

#[test]
fn totals_without_parts_wait_until_the_message_is_ten_minutes_old() {
    let young = [query("8000000001", "", true), query("8000000002", "", true)];
    let numbers = detail(STATUS_DETAIL, &young);
    assert_eq!(written(&numbers, "8000000001").len(), 30);
    assert_eq!(written(&numbers, "8000000002"), []);
    assert_eq!(numbers.messages[1].shape, "");
    // A kind without platforms waits too.
    let kind = r#"{"1":{"sub":{"voip":{"target":9,"sent":8,"delivered":7,"impressions":0,"click":0}}}}"#;
    assert_eq!(written(&detail(kind, &[query("1", "", true)]), "1"), []);
    let old = detail(kind, &[query("1", "", false)]);
    assert_eq!(written(&old, "1"), sorted(five("sub.voip.", ["any", "any", "voip"], [9, 8, 7, 0, 0])));
    assert_eq!(old.messages[0].shape, "d -voip");
}

#[test]
fn the_first_answer_with_a_number_fixes_the_shape() {
    let totals = r#"{"targets":40,"sent":39}"#;
    let parts = r#"{"targets":40,"sent":39,"sub":{"notification":{"sub_ios":{"apns":{"targets":40,"sent":39}}}}}"#;
    let as_totals =
        sorted(vec![row("targets", Targeted, "any", "any", "any", 40), row("sent", Sent, "any", "any", "any", 39)]);
    let as_parts = sorted(vec![
        row("sub.notification.sub_ios.apns.targets", Targeted, "ios", "apns", "notification", 40),
        row("sub.notification.sub_ios.apns.sent", Sent, "ios", "apns", "notification", 39),
    ]);
    let (found, shape, _) = shaped(totals, "");
    assert_eq!((found, shape.as_str()), (as_totals.clone(), "o"));
    assert_eq!(shaped(parts, "o").0, as_totals);
    let (found, shape, _) = shaped(parts, "");
    assert_eq!((found, shape.as_str()), (as_parts, "d +notification"));
    assert_eq!(shaped(totals, "d +notification").0, []);
    // A message that is read by its totals continues even if it were young.
    assert_eq!(written(&detail(&format!(r#"{{"1":{totals}}}"#), &[query("1", "o", true)]), "1"), as_totals);
}

#[test]
fn both_spellings_feed_one_watermark() {
    for (target, click) in [("target", "click"), ("targets", "clicks")] {
        let leaf = format!(r#"{{"{target}":10,"sent":9,"delivered":8,"impressions":7,"{click}":6}}"#);
        let (of_leaf, ..) = shaped(&format!(r#"{{"sub":{{"message":{{"sub_android":{{"oppo":{leaf}}}}}}}}}"#), "");
        let path = "sub.message.sub_android.oppo.";
        assert_eq!(of_leaf, sorted(five(path, ["android", "oppo", "message"], [10, 9, 8, 7, 6])), "{target}");
        let (of_kind, ..) = shaped(&format!(r#"{{"sub":{{"message":{leaf}}}}}"#), "");
        assert_eq!(of_kind, sorted(five("sub.message.", ["any", "any", "message"], [10, 9, 8, 7, 6])), "{target}");
        let (of_message, ..) = shaped(&leaf, "");
        assert_eq!(of_message, sorted(five("", ["any", "any", "any"], [10, 9, 8, 7, 6])), "{target}");
    }
    // One number in both spellings is one number; null is absent.
    let (found, _, unknown) = shaped(r#"{"target":3,"targets":3,"clicks":null,"click":2}"#, "");
    let expected = [row("targets", Targeted, "any", "any", "any", 3), row("clicks", Clicked, "any", "any", "any", 2)];
    assert_eq!((found, unknown), (sorted(expected.to_vec()), Vec::new()));
}

#[test]
fn kinds_platforms_and_channels() {
    let sent = |kind: &str, platform: &str, channel: &str| {
        let body = format!(r#"{{"sub":{{"{kind}":{{"sub_{platform}":{{"{channel}":{{"sent":1}}}}}}}}}}"#);
        let (rows, _, unknown) = shaped(&body, "");
        let [(_, _, platform, channel, kind, 1)] = &rows[..] else { panic!("{rows:?}") };
        (format!("{platform} {channel} {kind}"), unknown)
    };
    for (kind, platform, channel, labels) in [
        ("notification", "android", "xiaomi", "android xiaomi notification"),
        ("notification", "android", "honor", "android honor notification"),
        ("notification", "android", "meizu", "android meizu notification"),
        ("notification", "android", "vivo", "android vivo notification"),
        ("notification", "hmos", "engageLab_hmos", "hmos engagelab notification"),
        ("inapp_message", "android", "engageLab_android", "android engagelab inapp"),
        ("voip", "ios", "apns", "ios apns voip"),
        ("live_activity", "ios", "apns", "ios apns live_activity"),
    ] {
        assert_eq!(sent(kind, platform, channel), (labels.to_owned(), Vec::new()), "{kind} {channel}");
    }
    let (labels, unknown) = sent("sms", "web", "engageLab_web");
    assert_eq!(labels, "web engagelab_web sms");
    assert_eq!(unknown, ["sub.sms", "sub.sms.sub_web", "sub.sms.sub_web.engageLab_web"]);
}

#[test]
fn live_activities_in_both_forms() {
    let body = |platform: &str| format!(r#"{{"sub":{{"live_activity":{{"target":5,"sub_ios":{platform}}}}}}}"#);
    let counts = r#"{"targets":5,"sent":4,"delivered":3,"impressions":2,"clicks":1}"#;
    let labels = ["ios", "apns", "live_activity"];
    let flat = sorted(five("sub.live_activity.sub_ios.", labels, [5, 4, 3, 2, 1]));
    let by_channel = sorted(five("sub.live_activity.sub_ios.apns.", labels, [5, 4, 3, 2, 1]));
    let (found, flat_shape, unknown) = shaped(&body(counts), "");
    assert_eq!((found, unknown), (flat.clone(), Vec::new()));
    assert_eq!(flat_shape, "d +live_activity -live_activity.ios");
    let channels = format!(r#"{{"targets":5,"apns":{counts}}}"#);
    let (found, channel_shape, unknown) = shaped(&body(&channels), "");
    assert_eq!((found, unknown), (by_channel, Vec::new()));
    assert_eq!(channel_shape, "d +live_activity +live_activity.ios");
    // The other form is not counted again.
    let both = body(&format!(r#"{{"targets":5,"sent":4,"delivered":3,"impressions":2,"clicks":1,"apns":{counts}}}"#));
    assert_eq!(shaped(&both, &flat_shape), (flat, flat_shape.clone(), Vec::new()));
    assert_eq!(shaped(&body(counts), &channel_shape).0, []);
}

#[test]
fn what_repeats_the_push_is_not_read() {
    let (rows, _, unknown) = shaped(
        r#"{"sent":1,"plan_id":"7","pushContent":{"notification":{"sent":99,"alert":"secret text"}},"retracted":2}"#,
        "",
    );
    assert_eq!(rows, [row("sent", Sent, "any", "any", "any", 1)]);
    assert_eq!(unknown, ["retracted"]);
}

#[test]
fn ids_are_digits() {
    let numbers = detail(r#"{"8000000001":{"sent":1},"autumn":{"sent":2},"007":{"sent":3},"9":7}"#, &[]);
    let ids: Vec<&str> = numbers.messages.iter().map(|message| message.id.as_str()).collect();
    assert_eq!(ids, ["7", "8000000001"]);
    assert_eq!(numbers.unknown, ["an item that is no object", "an item without an id"]);
    assert!(parse_detail(br#"[{"msg_id":"1"}]"#, &[]).is_err(), "JPush's form is not EngageLab's");
    assert_eq!(detail("{}", &[query("1", "", false)]).messages, []);
}

#[test]
fn the_example_of_users() {
    let day = |day| Window::day(date(2026, 11, day));
    let query = WindowQuery { first: day(22), last: day(28), scope: None };
    let numbers = parse_users(STATUS_USERS.as_bytes(), &query).unwrap();
    let found: Vec<String> = numbers
        .windows
        .iter()
        .flat_map(|window| {
            let line = |users: &push_exporter::model::reading::UserCount| {
                format!("{} {} {} {}", window.window.key(), users.platform.as_str(), users.state, users.value)
            };
            window.users.iter().map(line).collect::<Vec<_>>()
        })
        .collect();
    let expected = [
        "day 2026-11-22 android active 7",
        "day 2026-11-22 android new 5",
        "day 2026-11-22 android online 11",
        "day 2026-11-22 hmos active 1",
        "day 2026-11-22 hmos new 0",
        "day 2026-11-22 hmos online 1",
        "day 2026-11-22 ios active 2",
        "day 2026-11-22 ios new 1",
        "day 2026-11-22 ios online 3",
    ];
    let mut found = found;
    found.sort();
    assert_eq!(found, expected);
    assert_eq!(numbers.unknown, Vec::<String>::new());
    assert!(parse_users(br#"{"TimeUnit":"DAY"}"#, &query).is_err());
}

#[test]
fn the_examples_of_push_plans() {
    let plan = Origin { id: "autumn_sale".to_owned(), category: None };
    let listing = Listing { origins: vec![plan.clone()], pages: 1 };
    assert_eq!(parse_plans(PUSH_PLAN_LIST.as_bytes()).unwrap(), listing);
    // Older answers have another name for the id.
    let older = PUSH_PLAN_LIST.replace("\"plan_id\"", "\"push_id\"");
    assert_eq!(parse_plans(older.as_bytes()).unwrap(), listing);
    let many = PUSH_PLAN_LIST.replace("\"total\":1", "\"total\":201");
    assert_eq!(parse_plans(many.as_bytes()).unwrap(), Listing { origins: vec![plan], pages: 3 });
    let found = |id: &str| FoundMessage { id: id.to_owned(), sent_at: None, category: None };
    let found_in = |answer: &[u8], plan: &str| parse_plan_messages(answer, plan).unwrap().messages;
    assert_eq!(found_in(STATUS_PLAN_MSG.as_bytes(), "autumn_sale"), [found("8000000001"), found("8000000003")]);
    assert_eq!(found_in(STATUS_PLAN_MSG.as_bytes(), "spring_sale"), []);
    let numbers = br#"{"autumn_sale":{"msg_ids":[18100287008546331,null,""]}}"#;
    assert_eq!(found_in(numbers, "autumn_sale"), [found("18100287008546331")]);
}
