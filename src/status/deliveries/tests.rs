use super::*;
use crate::metrics::catalog::Family;
use crate::metrics::labels::Labels;

const NOW: i64 = 500_000;

/// Counters of one channel of Easemob: accepted and refused.
fn easemob(sent: i64, failed: i64) -> Vec<SeriesTotal> {
    of_channel("huawei", &[(1, Family::Sent, sent), (2, Family::Failed, failed)])
}

/// Counters of one channel of JPush: targeted, accepted and arrived.
fn jpush(targeted: i64, sent: i64, received: i64) -> Vec<SeriesTotal> {
    let totals = [(3, Family::Targeted, targeted), (4, Family::Sent, sent), (5, Family::Received, received)];
    of_channel("xiaomi", &totals)
}

fn of_channel(channel: &str, totals: &[(i64, Family, i64)]) -> Vec<SeriesTotal> {
    let labels = Labels::new(&[("platform", "android"), ("channel", channel), ("kind", "any")]);
    let series = |(id, family, total): &(i64, Family, i64)| SeriesTotal {
        id: *id,
        family: *family,
        labels: labels.clone(),
        total: *total,
        is_held: false,
        created: Timestamp::UNIX_EPOCH,
    };
    totals.iter().map(series).collect()
}

fn kept(hour: i64, totals: &[(i64, i64)]) -> HourTotals {
    HourTotals { app: 7, hour, totals: totals.to_vec() }
}

/// An app that is known for long, with these counters and these noted hours.
fn noted(series: &[SeriesTotal], hours: &[HourTotals]) -> Deliveries {
    let deliveries = Deliveries::default();
    let stored = StoredApp { id: 7, series: series.to_vec(), ..StoredApp::default() };
    deliveries.add(("easemob", "chat".to_owned()), &stored, None);
    deliveries.noted(NOW, hours);
    deliveries
}

fn judged(deliveries: &Deliveries) -> ChannelDeliveries {
    deliveries.judge(at_hour(NOW));
    deliveries.all().into_values().next().unwrap().remove(0)
}

fn at_hour(hour: i64) -> Timestamp {
    Timestamp::from_second(hour * 3600).unwrap()
}

/// A week in which 97 of 100 were accepted, with a bad day in it, and a last day as given.
fn week(last_day: (i64, i64)) -> Vec<HourTotals> {
    let days = [(970, 30), (970, 30), (0, 1000), (970, 30), (970, 30), (970, 30), (970, 30)];
    let mut hours = vec![kept(NOW - 192, &[(1, 0), (2, 0)])];
    let (mut sent, mut failed) = (0, 0);
    for (index, (accepted, refused)) in days.into_iter().enumerate() {
        (sent, failed) = (sent + accepted, failed + refused);
        hours.push(kept(NOW - 192 + 24 * (index as i64 + 1), &[(1, sent), (2, failed)]));
    }
    hours.push(kept(NOW - 1, &[(1, sent + last_day.0), (2, failed + last_day.1)]));
    hours.push(kept(NOW, &[(1, sent + last_day.0), (2, failed + last_day.1)]));
    hours
}

#[tokio::test(start_paused = true)]
async fn the_last_hour_and_day_are_told_from_the_noted_totals() {
    // 5,820 and 1,180 by the beginning of the last day; then 900 and 100, and 50 and 150 in the last hour.
    let channel = judged(&noted(&easemob(5820 + 950, 1180 + 250), &week((900, 100))));
    assert_eq!((channel.platform.as_str(), channel.channel.as_str()), ("android", "huawei"));
    assert_eq!((channel.hour.sent, channel.hour.refused()), (50, Some(150)));
    assert_eq!((channel.day.sent, channel.day.refused()), (950, Some(250)));
    assert_eq!(channel.usual_accepted_ratio, Some(0.97), "the median, whatever the bad day was");
    assert_eq!((channel.state, channel.since), (ChannelState::Failing, Some(at_hour(NOW))));
    let json = serde_json::to_value(&channel).unwrap();
    assert_eq!(json["state"], "failing");
    assert_eq!(json["hour"]["accepted_ratio"], 0.25);
}

#[tokio::test(start_paused = true)]
async fn less_than_usual_is_told_from_failing() {
    // 86 % of 200, where nine tenths of 97 % is 87.3 %.
    assert_eq!(judged(&noted(&easemob(5820 + 172, 1180 + 28), &week((0, 0)))).state, ChannelState::AcceptsLess);
    assert_eq!(judged(&noted(&easemob(5820 + 180, 1180 + 20), &week((0, 0)))).state, ChannelState::AsUsual);
    // Too few for a judgement, and none at all.
    assert_eq!(judged(&noted(&easemob(5820 + 10, 1180 + 90), &week((0, 0)))).state, ChannelState::Unjudged);
    assert_eq!(judged(&noted(&easemob(5820, 1180), &week((0, 0)))).state, ChannelState::Idle);
    // Few in the hour, enough in the day.
    assert_eq!(judged(&noted(&easemob(5820 + 10, 1180 + 190), &week((10, 100)))).state, ChannelState::Failing);
}

#[tokio::test(start_paused = true)]
async fn a_channel_through_which_nothing_arrives_is_told() {
    let hours: Vec<HourTotals> =
        (0..=8).map(|day| kept(NOW - 192 + 24 * day, &[(3, 1000 * day), (4, 990 * day), (5, 800 * day)])).collect();
    let channel = judged(&noted(&jpush(8200, 8100, 6401), &hours));
    assert_eq!((channel.state, channel.usual_received_ratio), (ChannelState::NothingArrives, Some(800.0 / 990.0)));
    assert_eq!(channel.usual_accepted_ratio, Some(0.99), "sent of targeted");
    // 480 of 1,000 in the last hour, which is one of the last six.
    let channel = judged(&noted(&jpush(9000, 8920, 6880), &hours));
    assert_eq!((channel.state, channel.hour.received), (ChannelState::DeliversLess, 480));
    assert_eq!(judged(&noted(&jpush(9000, 8920, 7180), &hours)).state, ChannelState::AsUsual);
}

#[tokio::test(start_paused = true)]
async fn it_is_known_since_when_a_channel_is_bad() {
    // A bad hour, two with few pushes and a bad one before this one, and a good one before them.
    let hours = [(5, 1000, 0), (4, 2000, 0), (3, 2000, 500), (2, 2010, 500), (1, 2010, 510), (0, 2010, 700)];
    let hours: Vec<HourTotals> =
        hours.iter().map(|(ago, sent, failed)| kept(NOW - ago, &[(1, *sent), (2, *failed)])).collect();
    let deliveries = noted(&easemob(2010, 900), &hours);
    assert_eq!(judged(&deliveries).since, Some(at_hour(NOW - 4)));
    // The quarters of an hour after it are well: it is over, and a later incident begins anew.
    for step in 1..=2 {
        tokio::time::advance(QUARTER).await;
        deliveries.counted("easemob", "chat", &easemob(2010 + 500 * step, 900));
        deliveries.judge(at_hour(NOW));
    }
    let channel = judged(&deliveries);
    assert_eq!((channel.state.is_failing(), channel.since), (false, None));
    for step in 1..=2 {
        tokio::time::advance(QUARTER).await;
        deliveries.counted("easemob", "chat", &easemob(3010, 900 + 500 * step));
        deliveries.judge(at_hour(NOW + step));
    }
    let channel = judged(&deliveries);
    assert_eq!((channel.state, channel.since), (ChannelState::Failing, Some(at_hour(NOW + 1))));
}

#[tokio::test(start_paused = true)]
async fn a_new_app_counts_from_nothing() {
    let deliveries = Deliveries::default();
    let stored = StoredApp { id: 7, created: at_hour(NOW), ..StoredApp::default() };
    deliveries.add(("easemob", "chat".to_owned()), &stored, Some(0.5));
    deliveries.counted("easemob", "chat", &easemob(80, 120));
    // The ledger noted it after the first poll.
    deliveries.noted(NOW, &[kept(NOW, &[(1, 80), (2, 120)])]);
    let channel = judged(&deliveries);
    assert_eq!((channel.hour.sent, channel.day.refused()), (80, Some(120)));
    // With an objective of 0.5, 40 % is well: seven tenths of it are 35 %.
    assert_eq!(channel.state, ChannelState::AsUsual);
    deliveries.forget("easemob", "chat");
    assert!(deliveries.all().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_never_refused_anything_is_judged_as_its_neighbours_are() {
    let vivo = of_channel("vivo", &[(9, Family::Sent, 300)]);
    let states = |series: &[SeriesTotal]| {
        let deliveries = noted(series, &[kept(NOW, &[])]);
        deliveries.judge(at_hour(NOW));
        let all = deliveries.all().into_values().next().unwrap();
        all.into_iter().map(|channel| (channel.channel, channel.state)).collect::<Vec<_>>()
    };
    let well = |channel: &str| (channel.to_owned(), ChannelState::AsUsual);
    assert_eq!(states(&[easemob(500, 5), vivo.clone()].concat()), [well("huawei"), well("vivo")]);
    assert_eq!(states(&vivo), [("vivo".to_owned(), ChannelState::Unjudged)]);
}

#[test]
fn medians() {
    assert_eq!(median(vec![]), None);
    assert_eq!(median(vec![3.0]), Some(3.0));
    assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
    assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
}
