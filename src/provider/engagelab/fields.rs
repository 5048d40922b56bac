//! Field maps of `status/detail` and `status/users`, from an answer to readings. Pure.

use serde_json::{Map, Value};

use crate::model::reading::{Label, Metric};
use crate::provider::detail_fields::{CountField, DetailFields, LIVE_ACTIVITY, LiveActivityForm};
use crate::provider::error::ProviderError;
use crate::provider::field_map::{known, series};
use crate::provider::message_fields::{read_by_id, shapes};
use crate::provider::message_id::read_digits;
use crate::provider::message_shape::{Shape, holds_numbers};
use crate::provider::{MessageNumbers, MessageQuery, WindowNumbers, WindowQuery, user_fields};

/// Names in `sub`. The document has `target` and `click` for kinds, `targets` and `clicks` elsewhere; SDKs accept both.
const SUB: DetailFields = DetailFields {
    field: "sub",
    counts: &[
        CountField { name: "targets", others: &["target"], metric: Metric::Targeted },
        CountField { name: "sent", others: &[], metric: Metric::Sent },
        CountField { name: "delivered", others: &[], metric: Metric::Received },
        CountField { name: "impressions", others: &[], metric: Metric::Displayed },
        CountField { name: "clicks", others: &["click"], metric: Metric::Clicked },
    ],
    kind,
    platforms: &["android", "ios", "hmos"],
    channel,
    live_activity: LiveActivityForm::CountsOrChannels,
    zero_says_nothing: |_, _, _| false,
};
const KINDS: [&str; 4] = ["notification", "message", LIVE_ACTIVITY, "voip"];
/// Kinds, and the platform of live activities, whose way of reading is always remembered.
const DOCUMENTED: [&str; 6] = ["notification", "message", LIVE_ACTIVITY, "voip", "inapp", "live_activity.ios"];
const CHANNELS: [&str; 8] = ["xiaomi", "huawei", "honor", "meizu", "oppo", "vivo", "fcm", "apns"];
/// Fields of a message that are not numbers; `pushContent` repeats the push, and is never read.
const OTHERS: [&str; 3] = [SUB.field, "plan_id", "pushContent"];
/// Documented platforms of users.
const USER_PLATFORMS: [&str; 3] = ["android", "ios", "hmos"];

fn kind(name: &str) -> Label {
    if name == "inapp_message" { Label::known("inapp") } else { known(&KINDS, name) }
}

fn channel(name: &str) -> Label {
    match name {
        "engageLab_android" | "engageLab_ios" | "engageLab_hmos" => Label::known("engagelab"),
        "harmonyos" => Label::known("hmpns"),
        name => known(&CHANNELS, name),
    }
}

/// Reads an answer of `status/detail`, an object whose keys are message ids, according to the shape of each message: its
/// parts, or its totals if `sub` has no numbers.
pub(super) fn read_detail(answer: &Map<String, Value>, earlier: &[MessageQuery]) -> MessageNumbers {
    let shapes = shapes(earlier);
    read_by_id(answer, read_digits, |id, item, sink| {
        let mut shape = Shape::of(shapes.get(id).copied(), &DOCUMENTED, sink.unknown);
        let is_details = shape.is_details.unwrap_or(item.get(SUB.field).is_some_and(holds_numbers));
        if is_details {
            SUB.read(item, &mut shape, sink);
        } else if !shape.is_young || shape.is_details.is_some() {
            SUB.read_counts("", item, |metric| series(metric, Label::ANY, Label::ANY, Label::ANY), sink);
        }
        sink.note_unknown("", item, |name| SUB.is_count(name) || OTHERS.contains(&name));
        if !sink.readings.is_empty() {
            shape.is_details = Some(is_details);
        }
        shape.write()
    })
}

/// Reads an answer of `status/users` to `query`.
///
/// # Errors
/// Fails if there are no items.
pub(super) fn read_users(answer: &Map<String, Value>, query: &WindowQuery) -> Result<WindowNumbers, ProviderError> {
    user_fields::read(answer, &USER_PLATFORMS, query)
}
