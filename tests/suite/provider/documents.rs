//! Every example of the two documents, comments stripped, gives exactly the readings written out by hand.

use jiff::civil::date;
use push_exporter::model::reading::{Metric, Reading};
use push_exporter::model::window::Window;
use push_exporter::provider::{WindowAnswer, WindowQuery, easemob, feishu};

/// 响应示例 of 查询离线推送结果统计数据.
const EASEMOB: &str = r#"{
"status": "OK",
"data": {
"2024-04-02": {
"HONOR": {
"successCount": 7218,
"failCount": 239
},
"HUAWEIPUSH": {
"successCount": 48852,
"failCount": 1969
},
"OPPOPUSH": {
"successCount": 66226,
"failCount": 3774
},
"VIVOPUSH": {
"successCount": 42380,
"failCount": 2189,
"arriveCount": 40559
},
"XIAOMIPUSH": {
"successCount": 23071
}
},
"2024-04-01": {
"HONOR": {
"successCount": 8306,
"failCount": 1208
},
"HUAWEIPUSH": {
"successCount": 55933,
"failCount": 1335
},
"OPPOPUSH": {
"successCount": 76026,
"failCount": 4534
},
"VIVOPUSH": {
"successCount": 52091,
"failCount": 3042,
"arriveCount": 49623
},
"XIAOMIPUSH": {
"successCount": 26364
}
}
}
}"#;

/// 响应体示例 of 获取消息推送概览.
const FEISHU: &str = r#"{
    "code": 0,
    "data": {
        "items": [
            {
                "metric_name": "send_msg_count",
                "metric_value": 7
            },
            {
                "metric_name": "send_user_count",
                "metric_value": 7
            },
            {
                "metric_name": "read_in_1h_count",
                "metric_value": 20
            },
            {
                "metric_name": "read_in_12h_count",
                "metric_value": 20
            }
        ]
    },
    "msg": "success"
}"#;

fn days(first: (i16, i8, i8), last: (i16, i8, i8)) -> WindowQuery {
    let day = |(year, month, day)| Window::day(date(year, month, day));
    WindowQuery { first: day(first), last: day(last), scope: None }
}

/// Field path, metric, platform, channel, kind, value; sorted by path.
fn written(readings: &[Reading]) -> Vec<(&str, Metric, &str, &str, &str, i64)> {
    let mut rows: Vec<_> = readings
        .iter()
        .map(|reading| {
            let series = &reading.series;
            let labels = (series.platform.as_str(), series.channel.as_str(), series.kind.as_str());
            (reading.field.as_str(), series.metric, labels.0, labels.1, labels.2, reading.value)
        })
        .collect();
    rows.sort_by_key(|row| row.0);
    rows
}

#[test]
fn easemob_offline_push() {
    use Metric::{Failed, Received, Sent};
    let numbers = easemob::fields::parse(&days((2024, 4, 1), (2024, 4, 2)), EASEMOB.as_bytes()).unwrap();
    assert!(numbers.unknown.is_empty());
    assert_eq!(numbers.windows.len(), 2);
    let (android, push) = ("android", "notification");
    assert_eq!(numbers.windows[0].window, Window::day(date(2024, 4, 1)));
    assert_eq!(
        written(&numbers.windows[0].readings),
        [
            ("HONOR.failCount", Failed, android, "honor", push, 1208),
            ("HONOR.successCount", Sent, android, "honor", push, 8306),
            ("HUAWEIPUSH.failCount", Failed, android, "huawei", push, 1335),
            ("HUAWEIPUSH.successCount", Sent, android, "huawei", push, 55933),
            ("OPPOPUSH.failCount", Failed, android, "oppo", push, 4534),
            ("OPPOPUSH.successCount", Sent, android, "oppo", push, 76026),
            ("VIVOPUSH.arriveCount", Received, android, "vivo", push, 49623),
            ("VIVOPUSH.failCount", Failed, android, "vivo", push, 3042),
            ("VIVOPUSH.successCount", Sent, android, "vivo", push, 52091),
            ("XIAOMIPUSH.successCount", Sent, android, "xiaomi", push, 26364),
        ]
    );
    assert_eq!(numbers.windows[1].window, Window::day(date(2024, 4, 2)));
    assert_eq!(
        written(&numbers.windows[1].readings),
        [
            ("HONOR.failCount", Failed, android, "honor", push, 239),
            ("HONOR.successCount", Sent, android, "honor", push, 7218),
            ("HUAWEIPUSH.failCount", Failed, android, "huawei", push, 1969),
            ("HUAWEIPUSH.successCount", Sent, android, "huawei", push, 48852),
            ("OPPOPUSH.failCount", Failed, android, "oppo", push, 3774),
            ("OPPOPUSH.successCount", Sent, android, "oppo", push, 66226),
            ("VIVOPUSH.arriveCount", Received, android, "vivo", push, 40559),
            ("VIVOPUSH.failCount", Failed, android, "vivo", push, 2189),
            ("VIVOPUSH.successCount", Sent, android, "vivo", push, 42380),
            ("XIAOMIPUSH.successCount", Sent, android, "xiaomi", push, 23071),
        ]
    );
}

#[test]
fn easemob_platforms_of_the_table_and_unknown_ones() {
    let body = r#"{"status":"OK","data":{"2024-04-02":{
        "APNS":{"successCount":1},"ANDROID":{"successCount":"2"},"MEIZUPUSH":{"successCount":3,"failCount":null},
        "HARMONYPUSH":{"successCount":4,"clickCount":9,"note":"x"},"HONOR":null,"total":5,"OPPOPUSH":{"failCount":-1,"successCount":1.5}},
        "2024-04-09":{"APNS":{"successCount":100}},"yesterday":{"APNS":{"successCount":100}},"2024-04-01":7}}"#;
    let numbers = easemob::fields::parse(&days((2024, 4, 1), (2024, 4, 2)), body.as_bytes()).unwrap();
    assert_eq!(numbers.windows.len(), 1, "a day that was not asked for is left alone");
    let sent = Metric::Sent;
    assert_eq!(
        written(&numbers.windows[0].readings),
        [
            ("ANDROID.successCount", sent, "android", "fcm", "notification", 2),
            ("APNS.successCount", sent, "ios", "apns", "notification", 1),
            ("HARMONYPUSH.successCount", sent, "any", "harmony", "notification", 4),
            ("MEIZUPUSH.successCount", sent, "android", "meizu", "notification", 3),
        ]
    );
    let mut unknown = numbers.unknown.clone();
    unknown.sort();
    assert_eq!(
        unknown,
        [
            "2024-04-01",
            "HARMONYPUSH",
            "OPPOPUSH.failCount",
            "OPPOPUSH.successCount",
            "clickCount",
            "total",
            "yesterday"
        ]
    );
}

#[test]
fn feishu_message_push_overview() {
    let query = days((2021, 11, 18), (2021, 11, 18));
    let WindowAnswer::Numbers(numbers) = feishu::fields::parse(&query, FEISHU.as_bytes()).unwrap() else { panic!() };
    assert!(numbers.unknown.is_empty());
    assert_eq!(numbers.windows.len(), 1);
    assert_eq!(numbers.windows[0].window, Window::day(date(2021, 11, 18)));
    assert_eq!(numbers.windows[0].users_reached, Some(7));
    assert_eq!(
        written(&numbers.windows[0].readings),
        [
            ("read_in_12h_count", Metric::ReadWithin12h, "any", "bot", "message", 20),
            ("read_in_1h_count", Metric::ReadWithin1h, "any", "bot", "message", 20),
            ("send_msg_count", Metric::Sent, "any", "bot", "message", 7),
        ]
    );
}

#[test]
fn feishu_without_items_says_nothing() {
    let query = days((2021, 11, 18), (2021, 11, 18));
    for body in [r#"{"code":0,"data":{}}"#, r#"{"code":0,"data":{"items":[]}}"#, r#"{"code":0,"data":{"items":null}}"#]
    {
        assert_eq!(feishu::fields::parse(&query, body.as_bytes()).unwrap(), WindowAnswer::NoData, "{body}");
    }
    assert!(feishu::fields::parse(&query, br#"{"code":0,"data":{"items":{}}}"#).is_err());
    assert!(feishu::fields::parse(&query, br#"{"code":0}"#).is_err());
}

#[test]
fn feishu_unknown_metrics() {
    let query = days((2021, 11, 18), (2021, 11, 18));
    let body = r#"{"data":{"items":[{"metric_name":"click_count","metric_value":3},{"metric_name":"send_msg_count","metric_value":"12"},
        {"metric_name":"read_in_1h_count","metric_value":null},{"metric_name":"read_in_12h_count","metric_value":-1}]}}"#;
    let WindowAnswer::Numbers(numbers) = feishu::fields::parse(&query, body.as_bytes()).unwrap() else { panic!() };
    assert_eq!(numbers.unknown, ["click_count", "read_in_12h_count"]);
    assert_eq!(written(&numbers.windows[0].readings), [("send_msg_count", Metric::Sent, "any", "bot", "message", 12)]);
}
