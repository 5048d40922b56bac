//! Ids of pushes under a push plan (`push_plan/list` and `status/plan/msg/`): the plans, and the messages that each has pushed
//! in the last days.

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use crate::model::window::{date_of, plus_days};
use crate::provider::client::Client;
use crate::provider::engagelab::client::{self, PLANS_PER_PAGE};
use crate::provider::engagelab::config::EngagelabSettings;
use crate::provider::error::ProviderError;
use crate::provider::{DiscoveryReport, FoundMessage, FoundMessages, Listing, Origin, ReportContext, ReportSpec};
use crate::util::clock::Clock;
use crate::util::future::BoxFuture;

/// Name of the report.
pub(super) const PUSH_PLANS: &str = "push_plans";
/// Default interval.
const INTERVAL: Duration = Duration::from_secs(600);
/// Days before today whose messages are queried: the five in which a message is polled, and one more, since the document
/// does not say in which zone a day is meant.
const DAYS_BEFORE: i32 = 6;
/// Days after today, for the same reason.
const DAYS_AFTER: i32 = 1;

/// The push plans of one app.
pub(super) struct PushPlans {
    spec: ReportSpec,
    settings: Arc<EngagelabSettings>,
    clock: Clock,
    zone: TimeZone,
}

impl PushPlans {
    pub(super) fn new(settings: &Arc<EngagelabSettings>, context: &ReportContext) -> PushPlans {
        PushPlans {
            spec: context.spec(PUSH_PLANS, INTERVAL, settings.limit()),
            settings: Arc::clone(settings),
            clock: context.clock.clone(),
            zone: context.zone.clone(),
        }
    }
}

/// Returns the first and last day that are queried on a day.
fn days(today: Date) -> (Date, Date) {
    (plus_days(today, -DAYS_BEFORE), plus_days(today, DAYS_AFTER))
}

impl DiscoveryReport for PushPlans {
    fn spec(&self) -> &ReportSpec {
        &self.spec
    }

    fn list<'a>(&'a self, page: u32, client: &'a Client) -> BoxFuture<'a, Result<Listing, ProviderError>> {
        Box::pin(async move { listing(&client::fetch_plans(&self.settings, page, client).await?) })
    }

    fn messages<'a>(
        &'a self,
        origin: &'a Origin,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<FoundMessages, ProviderError>> {
        let days = days(date_of(self.clock.now(), &self.zone));
        Box::pin(async move {
            let answer = client::fetch_plan_messages(&self.settings, &origin.id, days, client).await?;
            messages(&answer, &origin.id)
        })
    }
}

fn not_of_the_shape(what: &str) -> ProviderError {
    ProviderError::Decode(format!("{what} is not of the documented shape"))
}

/// Reads `{"push_plan_info":[{"plan_id":"autumn_sale",…}],"total":1}`; older answers call the id `push_id`.
pub(super) fn listing(answer: &Map<String, Value>) -> Result<Listing, ProviderError> {
    let plans = match answer.get("push_plan_info") {
        None | Some(Value::Null) if answer.get("total").and_then(Value::as_u64) == Some(0) => &[][..],
        Some(Value::Array(plans)) => plans,
        _ => return Err(not_of_the_shape("the list of push plans")),
    };
    let origin = |plan: &Value| {
        let ids = ["plan_id", "push_id"].into_iter().filter_map(|name| plan[name].as_str());
        let id = ids.map(str::to_owned).find(|id| !id.is_empty())?;
        Some(Origin { id, category: None })
    };
    let origins: Option<Vec<Origin>> = plans.iter().map(origin).collect();
    let total = answer.get("total").and_then(Value::as_u64).unwrap_or(0);
    let pages = u32::try_from(total.div_ceil(u64::from(PLANS_PER_PAGE))).unwrap_or(u32::MAX);
    Ok(Listing { origins: origins.ok_or_else(|| not_of_the_shape("a push plan"))?, pages })
}

/// Reads the messages of one plan from `{"autumn_sale":{"msg_ids":["8000000001"]}}`; a plan without any may be missing.
pub(super) fn messages(answer: &Map<String, Value>, plan: &str) -> Result<FoundMessages, ProviderError> {
    let ids = match answer.get(plan).map(|found| &found["msg_ids"]) {
        None | Some(Value::Null) => &[][..],
        Some(Value::Array(ids)) => ids,
        Some(_) => return Err(not_of_the_shape("the list of message ids")),
    };
    let message = |id: &Value| {
        let id = match id {
            Value::String(id) if !id.is_empty() => id.clone(),
            Value::Number(id) => id.to_string(),
            _ => return None,
        };
        Some(FoundMessage { id, sent_at: None, category: None })
    };
    let messages: Vec<FoundMessage> = ids.iter().filter_map(message).collect();
    let unknown = if messages.len() < ids.len() { vec!["msg_ids".to_owned()] } else { Vec::new() };
    Ok(FoundMessages { messages, unknown })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn a_day_more_on_both_sides_is_queried() {
        assert_eq!(days(date(2026, 3, 5)), (date(2026, 2, 27), date(2026, 3, 6)));
    }

    #[test]
    fn wrong_shapes_name_no_plan() {
        let object = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
        for wrong in ["{}", r#"{"push_plan_info":{}}"#, r#"{"push_plan_info":[{"plan_description":"secret text"}]}"#] {
            let error = listing(&object(wrong)).unwrap_err().to_string();
            assert!(error.contains("shape") && !error.contains("secret"), "{error}");
        }
        assert!(messages(&object(r#"{"secret":{"msg_ids":"x"}}"#), "secret").is_err());
        assert_eq!(messages(&object(r#"{"secret":{"msg_ids":null}}"#), "secret").unwrap(), FoundMessages::default());
        let found = messages(&object(r#"{"secret":{"msg_ids":["7",{"id":8}]}}"#), "secret").unwrap();
        assert_eq!((found.messages.len(), found.unknown), (1, vec!["msg_ids".to_owned()]));
    }
}
