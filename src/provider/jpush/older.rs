//! The blocks of JPush's answers from before 2021-09-01, by channel and without kinds. Pure.

use serde_json::{Map, Value};

use super::details::{Shape, known};
use super::readings::{Sink, series};
use crate::reading::{Label, Metric};

/// Metric, platform, channel, kind.
type Feeds = Option<(Metric, &'static str, &'static str, &'static str)>;

/// Their names in an answer.
pub(super) const BLOCKS: [&str; 6] = ["jpush", "android_pns", "ios", "quickapp_jpush", "quickapp_pns", "hmos"];

/// Block, field, and what it feeds. Nothing: `ios.msg_*` are part of `jpush.*`, `online_push` is invalid
/// since 2021-09-01.
const FIELDS: [(&str, &str, Feeds); 34] = [
    ("jpush", "target", Some((Metric::Targeted, "any", "jpush", "any"))),
    ("jpush", "sent", Some((Metric::Sent, "any", "jpush", "any"))),
    ("jpush", "received", Some((Metric::Received, "any", "jpush", "any"))),
    ("jpush", "display", Some((Metric::Displayed, "any", "jpush", "any"))),
    ("jpush", "click", Some((Metric::Clicked, "any", "jpush", "notification"))),
    ("jpush", "msg_click", Some((Metric::Clicked, "any", "jpush", "message"))),
    ("jpush", "online_push", None),
    ("ios", "apns_target", Some((Metric::Targeted, "ios", "apns", "notification"))),
    ("ios", "apns_sent", Some((Metric::Sent, "ios", "apns", "notification"))),
    ("ios", "apns_received", Some((Metric::Received, "ios", "apns", "notification"))),
    ("ios", "apns_display", Some((Metric::Displayed, "ios", "apns", "notification"))),
    ("ios", "apns_click", Some((Metric::Clicked, "ios", "apns", "notification"))),
    ("ios", "msg_target", None),
    ("ios", "msg_sent", None),
    ("ios", "msg_received", None),
    ("ios", "msg_display", None),
    ("ios", "msg_click", None),
    ("quickapp_jpush", "target", Some((Metric::Targeted, "quickapp", "jpush", "any"))),
    ("quickapp_jpush", "received", Some((Metric::Received, "quickapp", "jpush", "any"))),
    ("quickapp_jpush", "click", Some((Metric::Clicked, "quickapp", "jpush", "notification"))),
    ("quickapp_jpush", "msg_click", Some((Metric::Clicked, "quickapp", "jpush", "message"))),
    ("quickapp_jpush", "online_push", None),
    ("quickapp_pns", "pns_target", Some((Metric::Targeted, "quickapp", "vendor", "any"))),
    ("quickapp_pns", "pns_sent", Some((Metric::Sent, "quickapp", "vendor", "any"))),
    ("hmos", "hmpns_target", Some((Metric::Targeted, "hmos", "hmpns", "notification"))),
    ("hmos", "hmpns_sent", Some((Metric::Sent, "hmos", "hmpns", "notification"))),
    ("hmos", "hmpns_received", Some((Metric::Received, "hmos", "hmpns", "notification"))),
    ("hmos", "hmpns_display", Some((Metric::Displayed, "hmos", "hmpns", "notification"))),
    ("hmos", "hmpns_click", Some((Metric::Clicked, "hmos", "hmpns", "notification"))),
    ("hmos", "msg_target", Some((Metric::Targeted, "hmos", "hmpns", "message"))),
    ("hmos", "msg_sent", Some((Metric::Sent, "hmos", "hmpns", "message"))),
    ("hmos", "msg_received", Some((Metric::Received, "hmos", "hmpns", "message"))),
    ("hmos", "msg_display", Some((Metric::Displayed, "hmos", "hmpns", "message"))),
    // A count that the API does not have, and sends as 0.
    ("hmos", "msg_click", Some((Metric::Clicked, "hmos", "hmpns", "message"))),
];
/// Of `<vendor>_detail`.
const VENDOR_COUNTS: [(&str, Metric); 4] = [
    ("target", Metric::Targeted),
    ("sent", Metric::Sent),
    ("received", Metric::Received),
    ("display", Metric::Displayed),
];
const VENDORS: [&str; 6] = ["honor", "oppo", "vivo", "fcm", "asus", "nio"];

/// Reads the blocks of one item.
pub(super) fn read(item: &Map<String, Value>, shape: &mut Shape, sink: &mut Sink<'_>) {
    for block in BLOCKS {
        let fields = match item.get(block) {
            Some(Value::Object(fields)) => fields,
            None | Some(Value::Null) => continue,
            Some(_) => {
                sink.unknown.push(block.to_owned());
                continue;
            }
        };
        if block == "android_pns" {
            read_vendors(fields, shape, sink);
            continue;
        }
        for (_, field, feeds) in FIELDS.iter().filter(|row| row.0 == block) {
            let Some((metric, platform, channel, kind)) = *feeds else { continue };
            let key = series(metric, Label::known(platform), Label::known(channel), Label::known(kind));
            let path = format!("{block}.{field}");
            if (block, *field) == ("hmos", "msg_click") {
                sink.take_unless_zero(&path, fields.get(*field), key);
            } else {
                sink.take(&path, fields.get(*field), key);
            }
        }
        let is_known = |name: &str| FIELDS.iter().any(|row| (row.0, row.1) == (block, name));
        sink.note_unknown(&format!("{block}."), fields, is_known);
    }
}

/// `android_pns`: by vendor, or in all where no vendor's block is there.
fn read_vendors(fields: &Map<String, Value>, shape: &mut Shape, sink: &mut Sink<'_>) {
    const BLOCK: &str = "android_pns";
    let mut vendors = fields.iter().filter(|(name, value)| name.ends_with("_detail") && !value.is_null()).peekable();
    let by_leaves = shape.reads_leaves(BLOCK, vendors.peek().is_some());
    let before = sink.readings.len();
    if by_leaves {
        for (name, value) in vendors {
            let path = format!("{BLOCK}.{name}");
            let Value::Object(counts) = value else {
                sink.unknown.push(path);
                continue;
            };
            let channel = match name.trim_end_matches("_detail") {
                "xm" => Label::known("xiaomi"),
                "hw" => Label::known("huawei"),
                "mz" => Label::known("meizu"),
                vendor => known(&VENDORS, vendor),
            };
            if !channel.is_known() {
                sink.unknown.push(path.clone());
            }
            for (field, metric) in VENDOR_COUNTS {
                let key = series(metric, Label::known("android"), channel.clone(), Label::ANY);
                sink.take(&format!("{path}.{field}"), counts.get(field), key);
            }
            sink.note_unknown(&format!("{path}."), counts, |name| {
                VENDOR_COUNTS.iter().any(|(field, _)| *field == name)
            });
        }
    } else {
        for (field, metric) in VENDOR_COUNTS {
            let key = series(metric, Label::known("android"), Label::known("vendor"), Label::ANY);
            let field = format!("pns_{field}");
            sink.take(&format!("{BLOCK}.{field}"), fields.get(&field), key);
        }
    }
    if sink.readings.len() > before {
        shape.fix(BLOCK, by_leaves);
    }
    let is_known = |name: &str| {
        name.ends_with("_detail")
            || name.strip_prefix("pns_").is_some_and(|count| VENDOR_COUNTS.iter().any(|(field, _)| *field == count))
    };
    sink.note_unknown(&format!("{BLOCK}."), fields, is_known);
}
