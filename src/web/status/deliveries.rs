//! Deliveries of channels on the status page, in words.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::status::{ChannelDeliveries, ChannelState, Period};
use crate::util::clock::format_age;
use crate::web::Options;

/// Number of other apps that are named beside a bad channel.
const NAMED: usize = 2;

/// Channels of all apps.
pub(super) type Channels = BTreeMap<(&'static str, String), Vec<ChannelDeliveries>>;

/// A channel of an app, as shown.
pub(super) struct ChannelView {
    pub(super) channel: String,
    pub(super) platform: String,
    /// State class of the page.
    pub(super) state: &'static str,
    pub(super) words: String,
    pub(super) hour: String,
    pub(super) day: String,
    pub(super) usual: String,
    pub(super) has_link: bool,
    pub(super) dashboard: String,
}

/// A channel that is bad, listed at the top.
pub(super) struct BadChannel {
    pub(super) anchor: String,
    pub(super) app: String,
    pub(super) provider: &'static str,
    pub(super) channel: String,
    pub(super) words: String,
    pub(super) since: String,
    pub(super) elsewhere: String,
    pub(super) has_dashboard: bool,
    pub(super) dashboard: String,
    pub(super) has_runbook: bool,
    pub(super) runbook: String,
    /// Order: the worst first.
    pub(super) rank: (ChannelState, i64),
}

/// Returns the state class of the page.
pub(super) fn class(state: ChannelState) -> &'static str {
    match state {
        _ if state.is_failing() => "failing",
        _ if state.is_bad() => "waiting",
        ChannelState::AsUsual => "up",
        _ => "none",
    }
}

/// Returns the class and the sentence about all channels; the sentence is empty if there is none.
pub(super) fn summary(channels: &Channels) -> (&'static str, String) {
    let all: Vec<&ChannelDeliveries> = channels.values().flatten().collect();
    let count = |is: fn(ChannelState) -> bool| all.iter().filter(|channel| is(channel.state)).count();
    let used = count(|state| state != ChannelState::Idle);
    let (failing, less) = (count(ChannelState::is_failing), count(|state| state.is_bad() && !state.is_failing()));
    let of = format!("of {used} {} in the last day", if used == 1 { "channel used" } else { "channels used" });
    let is = |count: usize| if count == 1 { "is" } else { "are" };
    match (failing, less) {
        _ if all.is_empty() => ("none", String::new()),
        _ if used == 0 => ("up", "nothing was sent in the last day.".to_owned()),
        (0, 0) => ("up", format!("none {of} is bad.")),
        (0, less) => ("waiting", format!("{less} {of} {} worse than usual.", is(less))),
        (failing, 0) => ("failing", format!("{failing} {of} {} failing.", is(failing))),
        (failing, less) => ("failing", format!("{failing} {of} {} failing, {less} worse than usual.", is(failing))),
    }
}

/// Returns a channel of an app as shown.
pub(super) fn view(name: (&str, &str), channel: &ChannelDeliveries, now: Timestamp, options: &Options) -> ChannelView {
    let ChannelDeliveries { hour, day, usual_accepted_ratio, usual_received_ratio, .. } = channel;
    let since = channel.since.map(|since| format!(" for {}", format_age(now, since))).unwrap_or_default();
    ChannelView {
        channel: channel.channel.clone(),
        platform: channel.platform.clone(),
        state: class(channel.state),
        words: format!("{}{since}", words(channel)),
        hour: period(hour),
        day: period(day),
        usual: shares(*usual_accepted_ratio, *usual_received_ratio).unwrap_or_else(|| "no past day yet".to_owned()),
        has_link: options.dashboard_url.is_some(),
        dashboard: dashboard(name, channel, options).unwrap_or_default(),
    }
}

/// Returns the bad channels of all apps, the worst first. `anchors` are those of the apps.
pub(super) fn bad(
    channels: &Channels,
    anchors: &BTreeMap<(&'static str, String), String>,
    now: Timestamp,
    options: &Options,
) -> Vec<BadChannel> {
    let mut bad = Vec::new();
    for ((provider, app), of_app) in channels {
        let Some(anchor) = anchors.get(&(*provider, app.clone())) else { continue };
        for channel in of_app.iter().filter(|channel| channel.state.is_bad()) {
            let dashboard = dashboard((provider, app), channel, options);
            let runbook = options.runbook_url.as_ref().map(|url| format!("{url}#{}", runbook_section(channel.state)));
            bad.push(BadChannel {
                anchor: anchor.clone(),
                app: app.clone(),
                provider,
                channel: channel.channel.clone(),
                words: bad_words(channel),
                since: channel.since.map(|since| since_words(now, since)).unwrap_or_default(),
                elsewhere: elsewhere(channels, (provider, app), channel),
                has_dashboard: dashboard.is_some(),
                dashboard: dashboard.unwrap_or_default(),
                has_runbook: runbook.is_some(),
                runbook: runbook.unwrap_or_default(),
                rank: (channel.state, -channel.day.sent),
            });
        }
    }
    bad.sort_by_key(|channel| channel.rank);
    bad
}

/// Returns what an app sent in the last day; nothing if that is not known.
pub(super) fn in_short(of_app: &[ChannelDeliveries]) -> String {
    let sent = of_app.iter().fold(0_i64, |sum, channel| sum.saturating_add(channel.day.sent));
    if of_app.is_empty() { String::new() } else { format!("{} accepted in the last day", number(sent)) }
}

fn words(channel: &ChannelDeliveries) -> String {
    let has_shares = channel.day.attempted > 0 || channel.day.trackable > 0;
    let plain = match channel.state {
        ChannelState::Failing => {
            let accepted = channel.hour.accepted_ratio().or_else(|| channel.day.accepted_ratio());
            return accepted
                .map_or("refuses pushes".to_owned(), |accepted| format!("refuses {}", percent(1.0 - accepted)));
        }
        ChannelState::NothingArrives => "delivers nothing",
        ChannelState::AcceptsLess => "refuses more than usual",
        ChannelState::DeliversLess => "delivers less than usual",
        ChannelState::AsUsual => "works",
        ChannelState::Unjudged if has_shares => "too few pushes to judge",
        ChannelState::Unjudged => "not judged: only counts known",
        ChannelState::Idle => "idle",
    };
    plain.to_owned()
}

/// Returns what is bad about a channel, with the numbers that show it.
fn bad_words(channel: &ChannelDeliveries) -> String {
    let ChannelDeliveries { state, hour, day, usual_accepted_ratio, usual_received_ratio, .. } = channel;
    let is_received = matches!(state, ChannelState::NothingArrives | ChannelState::DeliversLess);
    let usual = if is_received { usual_received_ratio } else { usual_accepted_ratio };
    let usual = usual.map(|usual| format!(", usually {}", percent(usual))).unwrap_or_default();
    let of = |period: &Period, when: &str| {
        let (ratio, whole, verb) = match is_received {
            true => (period.received_ratio()?, period.trackable, "delivered"),
            false => (period.accepted_ratio()?, period.attempted, "accepted"),
        };
        Some(format!("{verb} {} of {} pushes in the last {when}", percent(ratio), number(whole)))
    };
    let shown = of(hour, "hour").or_else(|| of(day, "day"));
    shown.map_or_else(|| words(channel), |shown| format!("{shown}{usual}"))
}

fn since_words(now: Timestamp, since: Timestamp) -> String {
    format!("seen since {} UTC, for {}", since.strftime("%m-%d %H:%M"), format_age(now, since))
}

/// Returns how the same channel does for other apps, which tells whose fault it is.
fn elsewhere(channels: &Channels, name: (&str, &str), channel: &ChannelDeliveries) -> String {
    let (mut well, mut bad) = (Vec::new(), Vec::new());
    for ((provider, app), of_app) in channels.iter().filter(|((provider, app), _)| (*provider, app.as_str()) != name) {
        let is_same = |other: &&ChannelDeliveries| {
            (&other.platform, &other.channel) == (&channel.platform, &channel.channel)
                && other.state <= ChannelState::AsUsual
        };
        for other in of_app.iter().filter(is_same) {
            (if other.state.is_bad() { &mut bad } else { &mut well }).push(format!("{app} ({provider})"));
        }
    }
    let (vendor, provider) = (&channel.channel, name.0);
    match (well.is_empty(), bad.is_empty()) {
        (true, true) => String::new(),
        (false, true) => {
            format!("{vendor} works for {}: check this app's account first, then {provider}", named(&well))
        }
        (true, false) => format!("{vendor} is bad for {} too: check the vendor first", named(&bad)),
        (false, false) => format!("{vendor} works for {} and is bad for {}", named(&well), named(&bad)),
    }
}

/// Returns the first names, and how many more there are.
fn named(names: &[String]) -> String {
    let first: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
    match names.len().saturating_sub(NAMED) {
        0 => first.join(" and "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// Returns the section of the runbook about a state.
fn runbook_section(state: ChannelState) -> &'static str {
    match state {
        ChannelState::NothingArrives => "pushchanneldeliversnothing",
        ChannelState::AcceptsLess => "pushchannelsuccessfell",
        ChannelState::DeliversLess => "pushdeliveryratiofell",
        _ => "pushchannelfailing",
    }
}

/// Returns the address of the dashboard of a channel.
fn dashboard((provider, app): (&str, &str), channel: &ChannelDeliveries, options: &Options) -> Option<String> {
    let variables = [
        ("var-provider", provider),
        ("var-app", app),
        ("var-platform", &channel.platform),
        ("var-channel", &channel.channel),
    ];
    dashboard_link(options, "push-channel", &variables)
}

/// Returns the address of a dashboard with these variables, if there is a Grafana.
pub(super) fn dashboard_link(options: &Options, uid: &str, variables: &[(&str, &str)]) -> Option<String> {
    let variables = form_urlencoded::Serializer::new(String::new()).extend_pairs(variables).finish();
    Some(format!("{}/d/{uid}?{variables}", options.dashboard_url.as_ref()?))
}

fn period(period: &Period) -> String {
    let Period { sent, received, attempted, accepted, trackable, arrived } = *period;
    if sent == 0 && attempted == 0 && received == 0 {
        return "nothing".to_owned();
    }
    let of = |part: i64, whole: i64, what: &str, ratio: Option<f64>| {
        let share = ratio.map(|ratio| format!(" ({})", percent(ratio))).unwrap_or_default();
        format!("{} of {} {what}{share}", number(part), number(whole))
    };
    let mut parts = Vec::new();
    match attempted {
        0 if sent == 0 => {}
        0 => parts.push(format!("{} sent", number(sent))),
        attempted => parts.push(of(accepted, attempted, "accepted", period.accepted_ratio())),
    }
    match trackable {
        0 if received == 0 => {}
        0 => parts.push(format!("{} arrived", number(received))),
        trackable => parts.push(of(arrived, trackable, "arrived", period.received_ratio())),
    }
    parts.join(", ")
}

fn shares(accepted: Option<f64>, received: Option<f64>) -> Option<String> {
    let accepted = accepted.map(|ratio| format!("{} accepted", percent(ratio)));
    let received = received.map(|ratio| format!("{} arrived", percent(ratio)));
    let parts: Vec<String> = [accepted, received].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Returns a share in whole percent; what is not all or nothing does not read as if it were.
fn percent(ratio: f64) -> String {
    let percent = 100.0 * ratio;
    match percent {
        _ if percent > 0.0 && percent < 0.5 => "less than 1 %".to_owned(),
        _ if (99.5..100.0).contains(&percent) => format!("{percent:.1} %").replace("100.0", "99.9"),
        _ => format!("{percent:.0} %"),
    }
}

/// Returns a number with separators between the thousands.
fn number(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_shares_read_as_people_write_them() {
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        let ratios = [0.0, 0.001, 0.25, 0.994, 0.996, 0.9999, 1.0, 1.2];
        assert_eq!(ratios.map(percent), ["0 %", "less than 1 %", "25 %", "99 %", "99.6 %", "99.9 %", "100 %", "120 %"]);
    }

    fn channel(state: ChannelState, hour: Period) -> ChannelDeliveries {
        ChannelDeliveries {
            platform: "android".to_owned(),
            channel: "huawei".to_owned(),
            state,
            since: None,
            hour,
            day: hour,
            usual_accepted_ratio: Some(0.97),
            usual_received_ratio: Some(0.8),
        }
    }

    fn refusing() -> ChannelDeliveries {
        let hour = Period { sent: 30, attempted: 1000, accepted: 30, ..Period::default() };
        channel(ChannelState::Failing, hour)
    }

    #[test]
    fn what_is_bad_is_told_with_numbers_and_whose_fault_it_may_be() {
        let well = channel(ChannelState::AsUsual, Period { sent: 100, ..Period::default() });
        let all = |others: &[&ChannelDeliveries]| {
            let others = others.iter().enumerate();
            let mut all: Channels =
                others.map(|(of, other)| (("jpush", format!("app-{of}")), vec![(*other).clone()])).collect();
            all.insert(("easemob", "chat".to_owned()), vec![refusing()]);
            all
        };
        let options = Options {
            dashboard_url: Some("https://grafana.example.org".to_owned()),
            runbook_url: Some("https://git.example.org/RUNBOOK.md".to_owned()),
            ..Options::default()
        };
        let told = |channels: &Channels| {
            let anchors = [(("easemob", "chat".to_owned()), "easemob-chat".to_owned())].into();
            bad(channels, &anchors, Timestamp::UNIX_EPOCH, &options).remove(0)
        };
        let one = told(&all(&[]));
        assert_eq!(one.words, "accepted 3 % of 1,000 pushes in the last hour, usually 97 %");
        assert_eq!((one.elsewhere.as_str(), one.anchor.as_str()), ("", "easemob-chat"));
        assert_eq!(
            one.dashboard,
            "https://grafana.example.org/d/push-channel?var-provider=easemob&var-app=chat&var-platform=android&var-channel=huawei"
        );
        assert_eq!(one.runbook, "https://git.example.org/RUNBOOK.md#pushchannelfailing");
        assert_eq!(
            told(&all(&[&well])).elsewhere,
            "huawei works for app-0 (jpush): check this app's account first, then easemob"
        );
        let all_bad = told(&all(&[&refusing(), &refusing(), &refusing()]));
        let others = "app-0 (jpush), app-1 (jpush) and 1 more";
        assert_eq!(all_bad.elsewhere, format!("huawei is bad for {others} too: check the vendor first"));
        assert_eq!(
            told(&all(&[&well, &refusing()])).elsewhere,
            "huawei works for app-0 (jpush) and is bad for app-1 (jpush)"
        );
        assert_eq!(summary(&all(&[&well])), ("failing", "1 of 2 channels used in the last day is failing.".to_owned()));
        assert_eq!(summary(&Channels::new()), ("none", String::new()));
    }
}
