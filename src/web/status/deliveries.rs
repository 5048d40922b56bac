//! Deliveries of channels on the status page, in words.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::status::{ChannelDeliveries, ChannelState, Period};
use crate::util::clock::format_age;
use crate::web::Options;

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
    let of = format!("of {} {} in the last day", used, if used == 1 { "channel used" } else { "channels used" });
    let fail = |count: usize| if count == 1 { "fails" } else { "fail" };
    match (failing, less) {
        _ if all.is_empty() => ("none", String::new()),
        _ if used == 0 => ("up", "nothing was sent in the last day.".to_owned()),
        (0, 0) => ("up", format!("none {of} is bad.")),
        (0, less) => ("waiting", format!("{less} {of} {} worse than usual.", if less == 1 { "is" } else { "are" })),
        (failing, 0) => ("failing", format!("{failing} {of} {}.", fail(failing))),
        (failing, less) => ("failing", format!("{failing} {of} {}, {less} worse than usual.", fail(failing))),
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
        words: format!("{}{since}", words(channel.state)),
        hour: period(hour),
        day: period(day),
        usual: shares(*usual_accepted_ratio, *usual_received_ratio).unwrap_or_else(|| "not known yet".to_owned()),
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
    if of_app.is_empty() { String::new() } else { format!("{} sent in a day", number(sent)) }
}

fn words(state: ChannelState) -> &'static str {
    match state {
        ChannelState::Failing => "refuses pushes",
        ChannelState::NothingArrives => "delivers nothing",
        ChannelState::AcceptsLess => "refuses more than usual",
        ChannelState::DeliversLess => "delivers less than usual",
        ChannelState::AsUsual => "works",
        ChannelState::Unjudged => "too few pushes, or no shares known",
        ChannelState::Idle => "nothing sent in a day",
    }
}

/// Returns what is bad about a channel, with the numbers that show it.
fn bad_words(channel: &ChannelDeliveries) -> String {
    let ChannelDeliveries { state, hour, day, usual_accepted_ratio, usual_received_ratio, .. } = channel;
    let is_received = matches!(state, ChannelState::NothingArrives | ChannelState::DeliversLess);
    let usual = if is_received { usual_received_ratio } else { usual_accepted_ratio };
    let usual = usual.map(|usual| format!(", usually {}", percent(usual))).unwrap_or_default();
    let of = |period: &Period, when: &str| {
        let (ratio, whole, verb) = match is_received {
            true => (period.received_ratio()?, period.trackable, "delivers"),
            false => (period.accepted_ratio()?, period.attempted, "accepts"),
        };
        Some(format!("{verb} {} of {} in the last {when}", percent(ratio), number(whole)))
    };
    let shown = of(hour, "hour").or_else(|| of(day, "day"));
    shown.map_or_else(|| words(*state).to_owned(), |shown| format!("{shown}{usual}"))
}

fn since_words(now: Timestamp, since: Timestamp) -> String {
    format!("since {} UTC ({})", since.strftime("%m-%d %H:%M"), format_age(now, since))
}

/// Returns how the same channel does for other apps, which tells whose fault it is.
fn elsewhere(channels: &Channels, name: (&str, &str), channel: &ChannelDeliveries) -> String {
    let is_other = |(provider, app): &(&'static str, String)| (*provider, app.as_str()) != name;
    let is_same = |other: &&ChannelDeliveries| {
        (&other.platform, &other.channel) == (&channel.platform, &channel.channel)
            && other.state <= ChannelState::AsUsual
    };
    let others = channels.iter().filter(|(name, _)| is_other(name)).flat_map(|(_, of_app)| of_app);
    let (mut well, mut bad) = (0, 0);
    for other in others.filter(is_same) {
        *(if other.state.is_bad() { &mut bad } else { &mut well }) += 1;
    }
    let apps = |count: usize| if count == 1 { "1 other app".to_owned() } else { format!("{count} other apps") };
    match (well, bad) {
        (0, 0) => String::new(),
        (well, 0) => format!("it works for {}: look at this app and its account", apps(well)),
        (0, bad) => format!("it is bad for {} too: look at the vendor", apps(bad)),
        (well, bad) => format!("it works for {} and is bad for {bad}", apps(well)),
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
    let variables = form_urlencoded::Serializer::new(String::new()).extend_pairs(variables).finish();
    Some(format!("{}/d/push-channel?{variables}", options.dashboard_url.as_ref()?))
}

fn period(period: &Period) -> String {
    if period.sent == 0 && period.attempted == 0 && period.received == 0 {
        return "nothing".to_owned();
    }
    let mut parts = vec![format!("{} sent", number(period.sent))];
    parts.extend(period.refused().map(|refused| format!("{} refused", number(refused))));
    if period.received > 0 || period.trackable > 0 {
        parts.push(format!("{} arrived", number(period.received)));
    }
    let counts = parts.join(", ");
    shares(period.accepted_ratio(), period.received_ratio())
        .map_or_else(|| counts.clone(), |shares| format!("{counts}: {shares}"))
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
        assert_eq!(one.words, "accepts 3 % of 1,000 in the last hour, usually 97 %");
        assert_eq!((one.elsewhere.as_str(), one.anchor.as_str()), ("", "easemob-chat"));
        assert_eq!(
            one.dashboard,
            "https://grafana.example.org/d/push-channel?var-provider=easemob&var-app=chat&var-platform=android&var-channel=huawei"
        );
        assert_eq!(one.runbook, "https://git.example.org/RUNBOOK.md#pushchannelfailing");
        assert_eq!(told(&all(&[&well])).elsewhere, "it works for 1 other app: look at this app and its account");
        let both = told(&all(&[&refusing(), &refusing()]));
        assert_eq!(both.elsewhere, "it is bad for 2 other apps too: look at the vendor");
        assert_eq!(told(&all(&[&well, &refusing()])).elsewhere, "it works for 1 other app and is bad for 1");
        assert_eq!(summary(&all(&[&well])), ("failing", "1 of 2 channels used in the last day fails.".to_owned()));
        assert_eq!(summary(&Channels::new()), ("none", String::new()));
    }
}
