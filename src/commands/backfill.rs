//! `push-exporter backfill`: the history before the exporter's first start, as a file for `promtool tsdb create-blocks-from
//! openmetrics`. Reads the ledger, which may be in use, and writes nothing to it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, HumanDuration};
use tokio_util::sync::CancellationToken;

use crate::backfill::{self, BackfillError, Estimate, FailedReport, Progress, Settings, Summary};
use crate::commands::cli::{Backfill, Flags};
use crate::commands::{CommandFailure, serve};
use crate::metrics::help::HelpTexts;
use crate::model::advice::Language;
use crate::provider::registry::PROVIDERS;
use crate::util::clock::Clock;

/// Interval at which the progress is shown.
const TICK: Duration = Duration::from_millis(200);

/// Writes the history of the configured apps, or says what that takes.
///
/// # Errors
/// Fails if the configuration or a flag is invalid (exit code 2), or if the history is not complete (1).
pub(crate) fn run(flags: &Flags, options: &Backfill) -> Result<(), CommandFailure> {
    let (_, config) = serve::load(flags)?;
    let settings = settings(options)?;
    let output = settings.output.clone();
    let transport = serve::connect(&config)?;
    let help = HelpTexts::new(PROVIDERS.iter().flat_map(|provider| provider.help().iter().copied()));
    let clock = Clock::system();
    super::block_on(async {
        let prepared = backfill::Backfill::prepare(&config, help, settings, &clock).await.map_err(failure)?;
        if options.dry_run {
            return Ok(super::print(&estimate_text(&prepared.estimate()))?);
        }
        if prepared.estimate().reports.is_empty() {
            let text = "nothing to ask for: check --from and --to; by default the history ends where the ledger first knew the app";
            return Err(CommandFailure::Usage(text.to_owned()));
        }
        let stop = CancellationToken::new();
        super::stop_on_signals(stop.clone())?;
        let progress = Arc::new(Progress::default());
        let running = prepared.run(transport, Arc::clone(&progress), stop);
        tokio::pin!(running);
        let mut bar = super::progress_bar("days");
        let mut has_messages = false;
        let summary = loop {
            tokio::select! {
                summary = &mut running => break summary,
                () = tokio::time::sleep(TICK) => {
                    if progress.has_messages.load(Ordering::Relaxed) && !has_messages {
                        has_messages = true;
                        bar.finish_and_clear();
                        bar = super::progress_bar("messages");
                    }
                    bar.set_length(progress.all.load(Ordering::Relaxed));
                    bar.set_position(progress.done.load(Ordering::Relaxed));
                }
            }
        };
        bar.finish_and_clear();
        let summary = summary.map_err(failure)?;
        Ok(super::print(&summary_text(&output.display().to_string(), &summary))?)
    })
}

fn settings(options: &Backfill) -> Result<Settings, CommandFailure> {
    let Backfill { from, to, step, label: labels, output, resume, dry_run: _ } = options.clone();
    if to.is_some_and(|to| to <= from) {
        return Err(CommandFailure::Usage("--to must be after --from".to_owned()));
    }
    let mut names: Vec<&str> = labels.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(CommandFailure::Usage(format!("--label {} is given twice", pair[0])));
    }
    Ok(Settings { from, to, step, labels, output, resume })
}

fn failure(error: BackfillError) -> CommandFailure {
    match &error {
        BackfillError::Interrupted(_) | BackfillError::OtherSettings { .. } => CommandFailure::Usage(error.to_string()),
        BackfillError::Failed(reports) => {
            let language = Language::of_terminal(|name| std::env::var(name).ok());
            let lines = reports.iter().map(|FailedReport { report, error, advice }| {
                format!("\n{report}: {error}\n    {}", advice.text(language))
            });
            CommandFailure::Failed(anyhow::anyhow!("{error}{}", lines.collect::<String>()))
        }
        _ => CommandFailure::Failed(error.into()),
    }
}

fn estimate_text(estimate: &Estimate) -> String {
    let mut text = String::new();
    for report in &estimate.reports {
        let day = |at: jiff::Timestamp| at.strftime("%Y-%m-%d %H:%M UTC").to_string();
        text += &format!(
            "{}: {} from {} to {}, {} requests\n",
            report.report,
            report.what,
            day(report.from),
            day(report.to),
            HumanCount(report.requests)
        );
    }
    text + &format!(
        "{} requests besides those for tokens, about {}, within half of each rate limit; nothing was asked\n",
        HumanCount(estimate.requests()),
        HumanDuration(estimate.time())
    )
}

fn summary_text(output: &str, summary: &Summary) -> String {
    let Summary { written, requests, refused, refused_messages } = summary;
    let mut text = format!(
        "{output}: {}, {} series, {} samples; {} requests\n",
        HumanBytes(written.bytes),
        HumanCount(written.series),
        HumanCount(written.samples),
        HumanCount(*requests)
    );
    for windows in refused {
        let range = |(first, last): &(jiff::civil::Date, jiff::civil::Date)| match first == last {
            true => first.to_string(),
            false => format!("{first} to {last}"),
        };
        let ranges: Vec<String> = windows.ranges.iter().map(range).collect();
        text += &format!("refused, {} by {}: {}\n", windows.part, windows.unit, ranges.join(", "));
    }
    if *refused_messages > 0 {
        text += &format!("refused: {} message ids\n", HumanCount(*refused_messages));
    }
    text
}
