//! Schedules of a simulated app, as the Push API lists them: pages of those that have not ended, and the messages of each.

use http::{Request, Response};
use serde_json::{Value, json};

use super::{JpushSimulator, error};
use crate::simulator::parameter;

/// Number of schedules on a page.
const PER_PAGE: usize = 50;

/// A schedule.
pub(super) struct Schedule {
    id: String,
    name: String,
    has_ended: bool,
    /// Elements of `msgids`: an id, or the text of an object.
    pushes: Vec<String>,
}

impl JpushSimulator {
    /// Creates a schedule, as a sender would, and returns its id.
    pub fn schedule(&self, name: &str) -> String {
        let mut state = self.state();
        let id = format!("0eac1b80-c2ac-4b69-948b-{:012x}", state.schedules.len() + 1);
        let schedule = Schedule { id: id.clone(), name: name.to_owned(), has_ended: false, pushes: Vec::new() };
        state.schedules.push(schedule);
        id
    }

    /// Pushes to a number of devices as if the time of a schedule had come, and returns the msg_id, which only the list of the
    /// schedule's pushes contains. The first push of a schedule is listed in the format of older pushes.
    pub fn push_on_schedule(&self, schedule: &str, devices: i64) -> u64 {
        let id = self.push(devices);
        let ts = self.clock.now().as_millisecond();
        let mut state = self.state();
        if let Some(schedule) = state.schedules.iter_mut().find(|one| one.id == schedule) {
            let object = json!({ "msg_id": id.to_string(), "needRetry": false, "ts": ts }).to_string();
            schedule.pushes.push(if schedule.pushes.is_empty() { id.to_string() } else { object });
        }
        id
    }

    /// Ends a schedule: it is not listed any more.
    pub fn end_schedule(&self, schedule: &str) {
        let mut state = self.state();
        state.schedules.iter_mut().filter(|one| one.id == schedule).for_each(|one| one.has_ended = true);
    }

    /// Extends a schedule that had ended: it is listed again.
    pub fn extend_schedule(&self, schedule: &str) {
        let mut state = self.state();
        state.schedules.iter_mut().filter(|one| one.id == schedule).for_each(|one| one.has_ended = false);
    }

    /// Lets a push of a schedule fail, as for an audience without a device.
    pub fn fail_on_schedule(&self, schedule: &str) {
        let object =
            json!({ "error": { "code": 1011, "message": "cannot find user by this audience" }, "needRetry": false });
        let mut state = self.state();
        let found = state.schedules.iter_mut().filter(|one| one.id == schedule);
        found.for_each(|one| one.pushes.push(object.to_string()));
    }
}

/// Answers `schedules?page=N`.
pub(super) fn list(request: &Request<Vec<u8>>, schedules: &[Schedule]) -> Response<Vec<u8>> {
    let page: usize = parameter(request, "page").and_then(|page| page.parse().ok()).unwrap_or(1);
    let running: Vec<&Schedule> = schedules.iter().filter(|schedule| !schedule.has_ended).collect();
    let of_page = running.iter().skip(page.saturating_sub(1) * PER_PAGE).take(PER_PAGE);
    let described = |schedule: &&Schedule| {
        json!({
            "schedule_id": schedule.id, "name": schedule.name, "enabled": true,
            "trigger": { "periodical": { "start": "2026-01-01 00:00:00", "end": "2027-01-01 00:00:00", "time": "12:00:00", "time_unit": "DAY", "frequency": 1 } },
            "push": { "platform": "all", "audience": "all", "notification": { "alert": "a text that is nobody's business" } },
        })
    };
    let described: Vec<Value> = of_page.map(described).collect();
    let (total, pages) = (running.len(), running.len().div_ceil(PER_PAGE));
    let answer = json!({ "total_count": total, "total_pages": pages, "page": page, "schedules": described });
    crate::simulator::json(200, &answer)
}

/// Answers `schedules/{schedule_id}/msg_ids`.
pub(super) fn messages(id: &str, schedules: &[Schedule]) -> Response<Vec<u8>> {
    match schedules.iter().find(|schedule| schedule.id == id) {
        Some(Schedule { pushes, .. }) => {
            crate::simulator::json(200, &json!({ "count": pushes.len(), "msgids": pushes }))
        }
        None => error(404, 8104, "schedule-task id does not exist"),
    }
}
