//! Every example of JPush's document for message statistics, its comments taken out, gives exactly the
//! readings written out by hand; and what the document leaves out: nulls, spellings, ids, shapes.

use push_exporter::model::reading::Metric::{Clicked, Displayed, PushedOnline, Received, Sent, Targeted};
use push_exporter::provider::jpush::Delivery;
use push_exporter::provider::{MessageNumbers, MessageQuery};

use crate::support::readings::{Row, row, sorted, written};

const RECEIVED_DETAIL: &str = include_str!("../../fixtures/jpush/received_detail.json");
const MESSAGES_DETAIL: &str = include_str!("../../fixtures/jpush/messages_detail.json");
const RECEIVED: &str = include_str!("../../fixtures/jpush/received.json");
const MESSAGES: &str = include_str!("../../fixtures/jpush/messages.json");
const GROUP_MESSAGES_DETAIL: &str = include_str!("../../fixtures/jpush/group_messages_detail.json");
const LIVE_ACTIVITY: &str = include_str!("../../fixtures/jpush/messages_detail_live_activity.json");

fn received(body: &str) -> MessageNumbers {
    Delivery::ReceivedDetail.parse(body.as_bytes(), &[]).unwrap()
}

/// An answer to a first question.
fn detail(body: &str) -> MessageNumbers {
    Delivery::MessagesDetail.parse(body.as_bytes(), &[]).unwrap()
}

/// An answer to a question for a message of this shape; readings and the shape from then on.
fn shaped(body: &str, shape: &str) -> (Vec<Row>, String) {
    let asked = [MessageQuery { id: "1".to_owned(), shape: shape.to_owned(), is_young: false }];
    let numbers = Delivery::MessagesDetail.parse(body.as_bytes(), &asked).unwrap();
    (written(&numbers, "1"), numbers.messages[0].shape.clone())
}

#[test]
fn received_detail() {
    let numbers = received(RECEIVED_DETAIL);
    assert!(numbers.unknown.is_empty(), "{:?}", numbers.unknown);
    assert_eq!(numbers.messages.len(), 2);
    assert_eq!(
        written(&numbers, "1613113584"),
        sorted(vec![
            row("jpush_received", Received, "any", "jpush", "any", 62),
            row("android_pns_sent", Sent, "android", "vendor", "any", 12),
            row("android_pns_received", Received, "android", "vendor", "any", 12),
            row("ios_apns_sent", Sent, "ios", "apns", "notification", 11),
            row("ios_apns_received", Received, "ios", "apns", "notification", 5),
            row("live_acivity_sent", Sent, "ios", "apns", "live_activity", 0),
            row("live_acivity_received", Received, "ios", "apns", "live_activity", 0),
            row("wp_mpns_sent", Sent, "winphone", "mpns", "notification", 3),
            row("quickapp_jpush_received", Received, "quickapp", "jpush", "any", 1),
            row("quickapp_pns_sent", Sent, "quickapp", "vendor", "any", 1),
            row("hmos_hmpns_received", Received, "hmos", "hmpns", "notification", 1),
            row("hmos_hmpns_sent", Sent, "hmos", "hmpns", "notification", 1),
            row("hmos_msg_received", Received, "hmos", "hmpns", "message", 1),
            row("hmos_msg_sent", Sent, "hmos", "hmpns", "message", 1),
        ])
    );
    assert_eq!(
        written(&numbers, "1229760629"),
        sorted(vec![
            row("jpush_received", Received, "any", "jpush", "any", 56),
            row("android_pns_sent", Sent, "android", "vendor", "any", 12),
            row("android_pns_received", Received, "android", "vendor", "any", 12),
            row("ios_apns_sent", Sent, "ios", "apns", "notification", 33),
            row("ios_apns_received", Received, "ios", "apns", "notification", 17),
            row("live_acivity_sent", Sent, "ios", "apns", "live_activity", 0),
            row("live_acivity_received", Received, "ios", "apns", "live_activity", 0),
            row("quickapp_jpush_received", Received, "quickapp", "jpush", "any", 1),
            row("quickapp_pns_sent", Sent, "quickapp", "vendor", "any", 1),
            row("hmos_hmpns_received", Received, "hmos", "hmpns", "notification", 1),
            row("hmos_hmpns_sent", Sent, "hmos", "hmpns", "notification", 1),
            row("hmos_msg_received", Received, "hmos", "hmpns", "message", 1),
            row("hmos_msg_sent", Sent, "hmos", "hmpns", "message", 1),
        ])
    );
}

#[test]
fn received_the_old() {
    let numbers = Delivery::Received.parse(RECEIVED.as_bytes(), &[]).unwrap();
    assert!(numbers.unknown.is_empty(), "{:?}", numbers.unknown);
    assert_eq!(
        written(&numbers, "1613113584"),
        sorted(vec![
            row("android_received", Received, "android", "any", "any", 62),
            row("ios_apns_sent", Sent, "ios", "apns", "notification", 11),
            row("ios_apns_received", Received, "ios", "apns", "notification", 5),
            row("ios_msg_received", Received, "ios", "jpush", "message", 3),
            row("wp_mpns_sent", Sent, "winphone", "mpns", "notification", 3),
        ])
    );
    assert_eq!(
        written(&numbers, "1229760629"),
        sorted(vec![
            row("android_received", Received, "android", "any", "any", 56),
            row("ios_apns_sent", Sent, "ios", "apns", "notification", 33),
            row("ios_apns_received", Received, "ios", "apns", "notification", 17),
            row("ios_msg_received", Received, "ios", "jpush", "message", 3),
        ])
    );
}

#[test]
fn messages_the_old() {
    let numbers = Delivery::Messages.parse(MESSAGES.as_bytes(), &[]).unwrap();
    assert!(numbers.unknown.is_empty(), "{:?}", numbers.unknown);
    assert_eq!(
        written(&numbers, "269978303"),
        sorted(vec![
            row("android.received", Received, "android", "any", "any", 1),
            row("android.target", Targeted, "android", "any", "any", 4),
            row("android.online_push", PushedOnline, "android", "any", "any", 1),
            row("ios.apns_sent", Sent, "ios", "apns", "notification", 2),
            row("ios.apns_target", Targeted, "ios", "apns", "notification", 2),
            row("ios.apns_received", Received, "ios", "apns", "notification", 1),
            row("ios.target", Targeted, "ios", "jpush", "message", 10),
            row("ios.received", Received, "ios", "jpush", "message", 8),
            row("ios.msg_click", Clicked, "ios", "jpush", "message", 50),
        ])
    );
    let body = r#"[{"msg_id":7,"android":{"click":4,"msg_click":0},"ios":{"click":3,"msg_click":0,"new":1},"winphone":{"mpns_sent":2},"web":{"sent":1}}]"#;
    let numbers = Delivery::Messages.parse(body.as_bytes(), &[]).unwrap();
    assert_eq!(
        written(&numbers, "7"),
        sorted(vec![
            row("android.click", Clicked, "android", "any", "notification", 4),
            row("android.msg_click", Clicked, "android", "any", "message", 0),
            row("ios.click", Clicked, "ios", "apns", "notification", 3),
            row("winphone.mpns_sent", Sent, "winphone", "mpns", "notification", 2),
        ])
    );
    assert_eq!(numbers.unknown, ["web", "ios.new"]);
}

#[test]
fn group_messages_detail() {
    let kind = Delivery::GroupMessagesDetail;
    let numbers = kind.parse(GROUP_MESSAGES_DETAIL.as_bytes(), &[]).unwrap();
    assert!(numbers.unknown.is_empty(), "{:?}", numbers.unknown);
    let mut expected = vec![
        row("jpush.target", Targeted, "any", "jpush", "any", 14),
        row("jpush.received", Received, "any", "jpush", "any", 2),
        row("jpush.online_push", PushedOnline, "any", "jpush", "any", 2),
        row("jpush.click", Clicked, "any", "jpush", "notification", 0),
        row("jpush.msg_click", Clicked, "any", "jpush", "message", 0),
        row("ios.apns_target", Targeted, "ios", "apns", "notification", 0),
        row("ios.apns_sent", Sent, "ios", "apns", "notification", 0),
        row("ios.apns_received", Received, "ios", "apns", "notification", 0),
        row("ios.apns_click", Clicked, "ios", "apns", "notification", 0),
    ];
    for (block, vendor, count) in [
        ("fcm_detail", "fcm", 0),
        ("hw_detail", "huawei", 0),
        ("honor_detail", "honor", 0),
        ("mz_detail", "meizu", 0),
        ("oppo_detail", "oppo", 0),
        ("vivo_detail", "vivo", 0),
        ("xm_detail", "xiaomi", 1),
        ("nio_detail", "nio", 0),
    ] {
        for (field, metric) in [("target", Targeted), ("sent", Sent), ("received", Received)] {
            expected.push(row(&format!("android_pns.{block}.{field}"), metric, "android", vendor, "any", count));
        }
    }
    assert_eq!(written(&numbers, "bsp54sn8bpn8hc3etq40"), sorted(expected));
    assert_eq!(numbers.messages[0].shape, "+android_pns");
    // The table of the document spells the id otherwise, and tells of Harmony.
    let body = r#"[{"group_msgids":"a1","hmos":{"hmpns_sent":3,"msg_click":0},"quickapp_jpush":{"online_push":4}}]"#;
    let numbers = kind.parse(body.as_bytes(), &[]).unwrap();
    assert_eq!(
        written(&numbers, "a1"),
        sorted(vec![
            row("hmos.hmpns_sent", Sent, "hmos", "hmpns", "notification", 3),
            row("quickapp_jpush.online_push", PushedOnline, "quickapp", "jpush", "any", 4),
        ])
    );
    assert!(numbers.unknown.is_empty(), "{:?}", numbers.unknown);
}

/// The leaves of the example's `details`: all have 100, 90, 80, 70 and no click.
const LEAVES: [(&str, &str, &str, &str); 28] = [
    ("notification.sub_android.jg_android", "android", "jpush", "notification"),
    ("notification.sub_android.huawei", "android", "huawei", "notification"),
    ("notification.sub_android.xiaomi", "android", "xiaomi", "notification"),
    ("notification.sub_android.oppo", "android", "oppo", "notification"),
    ("notification.sub_android.vivo", "android", "vivo", "notification"),
    ("notification.sub_android.meizu", "android", "meizu", "notification"),
    ("notification.sub_android.fcm", "android", "fcm", "notification"),
    ("notification.sub_android.asus", "android", "asus", "notification"),
    ("notification.sub_android.tuibida", "android", "tuibida", "notification"),
    ("notification.sub_android.honor", "android", "honor", "notification"),
    ("notification.sub_android.nio", "android", "nio", "notification"),
    ("notification.sub_ios.voip", "ios", "voip", "notification"),
    ("notification.sub_ios.apns", "ios", "apns", "notification"),
    ("notification.sub_hmos.hmpns", "hmos", "hmpns", "notification"),
    ("notification.sub_quickapp.quick_jg", "quickapp", "jpush", "notification"),
    ("notification.sub_quickapp.quick_huawei", "quickapp", "huawei", "notification"),
    ("notification.sub_quickapp.quick_xiaomi", "quickapp", "xiaomi", "notification"),
    ("notification.sub_quickapp.quick_oppo", "quickapp", "oppo", "notification"),
    ("message.sub_android.jg_android", "android", "jpush", "message"),
    ("message.sub_android.huawei", "android", "huawei", "message"),
    ("message.sub_android.xiaomi", "android", "xiaomi", "message"),
    ("message.sub_android.fcm", "android", "fcm", "message"),
    ("message.sub_android.honor", "android", "honor", "message"),
    ("message.sub_android.nio", "android", "nio", "message"),
    ("message.sub_ios.jg_ios", "ios", "jpush", "message"),
    ("message.sub_hmos.hmpns", "hmos", "hmpns", "message"),
    ("message.sub_quickapp.quick_jg", "quickapp", "jpush", "message"),
    ("inapp.sub_android.jg_android", "android", "jpush", "inapp"),
];

#[test]
fn messages_detail() {
    let numbers = detail(MESSAGES_DETAIL);
    assert!(numbers.unknown.is_empty(), "{:?}", numbers.unknown);
    let mut expected = Vec::new();
    for (path, platform, channel, kind) in LEAVES.into_iter().chain([("inapp.sub_ios.jg_ios", "ios", "jpush", "inapp")])
    {
        for (field, metric, value) in
            [("target", Targeted, 100), ("sent", Sent, 90), ("received", Received, 80), ("display", Displayed, 70)]
        {
            expected.push(row(&format!("details.{path}.{field}"), metric, platform, channel, kind, value));
        }
        // A custom message on iOS has no clicks, though the field is there.
        if (platform, kind) != ("ios", "message") {
            expected.push(row(&format!("details.{path}.click"), Clicked, platform, channel, kind, 0));
        }
    }
    assert_eq!(expected.len(), 29 * 5 - 1);
    assert_eq!(written(&numbers, "123456789"), sorted(expected));
    assert_eq!(numbers.messages[0].shape, "d +inapp +message +notification");
}

#[test]
fn live_activity() {
    let numbers = detail(LIVE_ACTIVITY);
    assert!(numbers.unknown.is_empty(), "{:?}", numbers.unknown);
    let path = |field: &str| format!("details.live_activity.sub_ios.{field}");
    assert_eq!(
        written(&numbers, "1613113584"),
        sorted(vec![
            row(&path("target"), Targeted, "ios", "apns", "live_activity", 0),
            row(&path("sent"), Sent, "ios", "apns", "live_activity", 0),
            row(&path("received"), Received, "ios", "apns", "live_activity", 0),
            row(&path("display"), Displayed, "ios", "apns", "live_activity", 0),
            row(&path("click"), Clicked, "ios", "apns", "live_activity", 0),
        ])
    );
}

/// The example without its `details`, as answers were before 2021-09-01.
fn older_example() -> String {
    let mut items: Vec<serde_json::Value> = serde_json::from_str(MESSAGES_DETAIL).unwrap();
    items[0].as_object_mut().unwrap().remove("details").unwrap();
    serde_json::to_string(&items).unwrap()
}

#[test]
fn the_older_blocks() {
    let numbers = detail(&older_example());
    assert!(numbers.unknown.is_empty(), "{:?}", numbers.unknown);
    let mut expected = vec![
        row("jpush.target", Targeted, "any", "jpush", "any", 100),
        row("jpush.received", Received, "any", "jpush", "any", 80),
        row("jpush.display", Displayed, "any", "jpush", "any", 70),
        row("jpush.click", Clicked, "any", "jpush", "notification", 0),
        row("jpush.msg_click", Clicked, "any", "jpush", "message", 0),
        row("ios.apns_target", Targeted, "ios", "apns", "notification", 100),
        row("ios.apns_sent", Sent, "ios", "apns", "notification", 90),
        row("ios.apns_received", Received, "ios", "apns", "notification", 80),
        row("ios.apns_click", Clicked, "ios", "apns", "notification", 70),
        row("ios.apns_display", Displayed, "ios", "apns", "notification", 60),
        row("quickapp_jpush.target", Targeted, "quickapp", "jpush", "any", 100),
        row("quickapp_jpush.received", Received, "quickapp", "jpush", "any", 80),
        row("quickapp_jpush.click", Clicked, "quickapp", "jpush", "notification", 0),
        row("quickapp_jpush.msg_click", Clicked, "quickapp", "jpush", "message", 0),
        row("quickapp_pns.pns_target", Targeted, "quickapp", "vendor", "any", 0),
        row("quickapp_pns.pns_sent", Sent, "quickapp", "vendor", "any", 0),
    ];
    for (block, vendor) in [
        ("xm_detail", "xiaomi"),
        ("hw_detail", "huawei"),
        ("mz_detail", "meizu"),
        ("oppo_detail", "oppo"),
        ("vivo_detail", "vivo"),
        ("fcm_detail", "fcm"),
        ("asus_detail", "asus"),
        ("honor_detail", "honor"),
        ("nio_detail", "nio"),
    ] {
        for (field, metric, value) in
            [("target", Targeted, 100), ("sent", Sent, 90), ("received", Received, 80), ("display", Displayed, 70)]
        {
            expected.push(row(&format!("android_pns.{block}.{field}"), metric, "android", vendor, "any", value));
        }
    }
    assert_eq!(written(&numbers, "123456789"), sorted(expected));
    assert_eq!(numbers.messages[0].shape, "o +android_pns");
}

#[test]
fn older_blocks_of_harmony_and_vendors_in_one_number() {
    let body = r#"[{"msg_id":"1","hmos":{"hmpns_target":9,"hmpns_sent":8,"hmpns_received":7,"hmpns_click":0,
        "msg_target":6,"msg_received":5,"msg_click":0},"android_pns":{"pns_target":4,"pns_sent":3,"pns_received":null,"pns_display":"2"}}]"#;
    let (rows, shape) = shaped(body, "");
    assert_eq!(
        rows,
        sorted(vec![
            row("hmos.hmpns_target", Targeted, "hmos", "hmpns", "notification", 9),
            row("hmos.hmpns_sent", Sent, "hmos", "hmpns", "notification", 8),
            row("hmos.hmpns_received", Received, "hmos", "hmpns", "notification", 7),
            row("hmos.hmpns_click", Clicked, "hmos", "hmpns", "notification", 0),
            row("hmos.msg_target", Targeted, "hmos", "hmpns", "message", 6),
            row("hmos.msg_received", Received, "hmos", "hmpns", "message", 5),
            row("android_pns.pns_target", Targeted, "android", "vendor", "any", 4),
            row("android_pns.pns_sent", Sent, "android", "vendor", "any", 3),
            row("android_pns.pns_display", Displayed, "android", "vendor", "any", 2),
        ])
    );
    assert_eq!(shape, "o -android_pns");
}

#[test]
fn the_first_number_fixes_the_shape() {
    let details = r#"{"notification":{"target":9,"sub_android":{"huawei":{"target":7}}}}"#;
    let leaf = row("details.notification.sub_android.huawei.target", Targeted, "android", "huawei", "notification", 7);
    let total = row("details.notification.target", Targeted, "any", "any", "notification", 9);
    let vendor = row("android_pns.hw_detail.target", Targeted, "android", "huawei", "any", 5);
    let vendors = row("android_pns.pns_target", Targeted, "android", "vendor", "any", 6);
    let both = format!(
        r#"[{{"msg_id":"1","details":{details},"android_pns":{{"pns_target":6,"hw_detail":{{"target":5}}}}}}]"#
    );
    assert_eq!(shaped(&both, ""), (vec![leaf.clone()], "d +notification".to_owned()));
    assert_eq!(shaped(&both, "d +notification").0, [leaf]);
    assert_eq!(shaped(&both, "d -notification"), (vec![total.clone()], "d -notification".to_owned()));
    assert_eq!(shaped(&both, "o +android_pns"), (vec![vendor], "o +android_pns".to_owned()));
    assert_eq!(shaped(&both, "o -android_pns"), (vec![vendors], "o -android_pns".to_owned()));

    // A kind without platforms is read by its own totals, and a message read by its leaves never is.
    let totals = r#"[{"msg_id":"1","details":{"notification":{"target":9,"sub_android":null}}}]"#;
    assert_eq!(shaped(totals, ""), (vec![total], "d -notification".to_owned()));
    assert_eq!(shaped(totals, "d +notification"), (vec![], "d +notification".to_owned()));

    // An answer without a number fixes nothing, and what is empty is as good as absent.
    let nothing =
        r#"[{"msg_id":"1","details":{"notification":{"target":null,"sub_android":{"huawei":{"target":null}}}}}]"#;
    assert_eq!(shaped(nothing, ""), (vec![], String::new()));
    for empty in ["{}", r#"{"notification":{}}"#, r#"{"notification":{"target":null,"sub_android":{"huawei":{}}}}"#] {
        let beside = format!(r#"[{{"msg_id":"1","details":{empty},"jpush":{{"target":3}}}}]"#);
        let older = vec![row("jpush.target", Targeted, "any", "jpush", "any", 3)];
        assert_eq!(shaped(&beside, ""), (older, "o".to_owned()), "{empty}");
    }
    for empty in ["{}", r#"{"huawei":{}}"#, r#"{"huawei":{"target":null}}"#] {
        let own = format!(r#"[{{"msg_id":"1","details":{{"notification":{{"target":9,"sub_android":{empty}}}}}}}]"#);
        let total = row("details.notification.target", Targeted, "any", "any", "notification", 9);
        assert_eq!(shaped(&own, ""), (vec![total], "d -notification".to_owned()), "{empty}");
        let own = format!(r#"[{{"msg_id":"1","android_pns":{{"pns_target":9,"hw_detail":{empty}}}}}]"#);
        let total = row("android_pns.pns_target", Targeted, "android", "vendor", "any", 9);
        assert_eq!(shaped(&own, ""), (vec![total], "o -android_pns".to_owned()), "{empty}");
    }

    // Totals without parts fix nothing in the first ten minutes: the parts may still come.
    let early = |body: &str| {
        let asked = [MessageQuery { id: "1".to_owned(), shape: String::new(), is_young: true }];
        let numbers = Delivery::MessagesDetail.parse(body.as_bytes(), &asked).unwrap();
        (written(&numbers, "1"), numbers.messages[0].shape.clone())
    };
    assert_eq!(early(totals), (vec![], String::new()));
    assert_eq!(early(r#"[{"msg_id":"1","android_pns":{"pns_target":6}}]"#), (vec![], String::new()));
    let leaf = row("details.notification.sub_android.huawei.target", Targeted, "android", "huawei", "notification", 7);
    assert_eq!(
        early(&format!(r#"[{{"msg_id":"1","details":{details}}}]"#)),
        (vec![leaf], "d +notification".to_owned())
    );
    let older = r#"[{"msg_id":"1","details":null,"jpush":{"target":3}}]"#;
    assert_eq!(shaped(older, ""), (vec![row("jpush.target", Targeted, "any", "jpush", "any", 3)], "o".to_owned()));
    assert_eq!(shaped(older, "d +notification").0, []);
    assert_eq!(shaped(r#"[{"msg_id":"1"}]"#, "d +notification"), (vec![], "d +notification".to_owned()));
}

#[test]
fn unknown_platforms_kinds_channels_and_fields() {
    let body = r#"[{"msg_id":"1","sendno":7,"details":{"banner":{"sub_android":{"huawei":{"target":1}}},
        "notification":{"shown":5,"sub_tv":{"samsung-tv":{"sent":2,"note":"x"}},"sub_quickapp":{"quick_vivo":{"sent":3},"quick_new":{"sent":4}},
        "sub_android":{"huawei":{"sent":-1,"received":1.5,"dismissed":6},"oppo":null,"vivo":8}},
        "live_activity":{"sub_android":{"sent":9}},"inapp":7},"tv":{"target":1}}]"#;
    let numbers = detail(body);
    assert_eq!(
        written(&numbers, "1"),
        sorted(vec![
            row("details.banner.sub_android.huawei.target", Targeted, "android", "huawei", "banner", 1),
            row("details.notification.sub_tv.samsung-tv.sent", Sent, "tv", "samsung_tv", "notification", 2),
            row("details.notification.sub_quickapp.quick_vivo.sent", Sent, "quickapp", "vivo", "notification", 3),
            row("details.notification.sub_quickapp.quick_new.sent", Sent, "quickapp", "new", "notification", 4),
            row("details.live_activity.sub_android.sent", Sent, "android", "any", "live_activity", 9),
        ])
    );
    let mut unknown = numbers.unknown.clone();
    unknown.sort();
    assert_eq!(
        unknown,
        [
            "details.banner",
            "details.inapp",
            "details.notification.shown",
            "details.notification.sub_android.huawei.dismissed",
            "details.notification.sub_android.huawei.received",
            "details.notification.sub_android.huawei.sent",
            "details.notification.sub_android.vivo",
            "details.notification.sub_quickapp.quick_new",
            "details.notification.sub_tv",
            "details.notification.sub_tv.samsung-tv",
            "sendno",
            "tv",
        ]
    );
}

#[test]
fn nulls_spellings_strings_and_ids() {
    let body = r#"[{"msg_id":38280845540235675,"jpush_received":"62","android_pns_received":null,"live_acivity_send":4,"live_activity_received":3,"new_received":1},
        {"msg_id":"18446744073709551615","live_acivity_sent":null,"live_activity_sent":5,"live_acivity_received":2,"live_activity_received":9},
        {"msg_id":"1743871206"},{"msg_id":"x","jpush_received":1},{"jpush_received":1},null,{"msg_id":1.5},{"msg_id":"1743871206","jpush_received":7}]"#;
    let numbers = received(body);
    assert_eq!(
        written(&numbers, "38280845540235675"),
        sorted(vec![
            row("jpush_received", Received, "any", "jpush", "any", 62),
            // Whatever the spelling, it is the same number.
            row("live_acivity_sent", Sent, "ios", "apns", "live_activity", 4),
            row("live_acivity_received", Received, "ios", "apns", "live_activity", 3),
        ])
    );
    assert_eq!(
        written(&numbers, "18446744073709551615"),
        sorted(vec![
            row("live_acivity_sent", Sent, "ios", "apns", "live_activity", 5),
            row("live_acivity_received", Received, "ios", "apns", "live_activity", 2),
        ])
    );
    assert_eq!(written(&numbers, "1743871206"), [], "an id that comes twice is no second message");
    assert_eq!(numbers.messages.len(), 3);
    let mut unknown = numbers.unknown.clone();
    unknown.sort();
    unknown.dedup();
    assert_eq!(unknown, ["an item that is no object", "an item without an id", "new_received"]);
    for body in ["{}", "null", r#"{"error":{"code":10}}"#, ""] {
        assert!(Delivery::ALL.iter().all(|kind| kind.parse(body.as_bytes(), &[]).is_err()), "{body}");
    }
}
