//! Log lines for people and for CI: levels, the three formats that kaniko has, one writer (standard error).
//!
//! On a terminal there are bars below the lines for what is under way ([`Transfer`]); never with JSON or text lines, which are for machines.
//!
//! Secrets never come here: callers log names, digests and counts. Field values are part of the message, as kaniko's are.

mod bars;
mod format;
mod transfer;

pub use format::Format;
pub use transfer::{Foreground, Reading, Transfer, foreground};

use std::io::{IsTerminal as _, Write as _};
use std::str::FromStr;
use std::time::Instant;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::layer::SubscriberExt as _;

use bars::{Above, Bars};

/// How much is logged; the seven words of kaniko (logrus).
///
/// Nothing here is logged as `fatal` or `panic`, so these two leave only the reason of a failure, which is always told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verbosity(LevelFilter);

impl FromStr for Verbosity {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Ok(Verbosity(match word.to_ascii_lowercase().as_str() {
            "trace" => LevelFilter::TRACE,
            "debug" => LevelFilter::DEBUG,
            "info" => LevelFilter::INFO,
            "warn" | "warning" => LevelFilter::WARN,
            "error" => LevelFilter::ERROR,
            "fatal" | "panic" => LevelFilter::OFF,
            _ => return Err(format!("{word:?} is not one of trace, debug, info, warn, error, fatal, panic")),
        }))
    }
}

/// Whether lines carry the time of day or the seconds since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Seconds since the start: `[0003]`.
    Elapsed,
    /// RFC 3339.
    Timestamp,
}

/// Starts logging to standard error. A second call in one process changes nothing.
pub fn start(verbosity: Verbosity, format: Format, clock: Clock) {
    let lines = format::Lines { format, clock, started: Instant::now() };
    let has_bars = format == Format::Color && verbosity.0 >= LevelFilter::INFO && std::io::stderr().is_terminal();
    let bars = Bars::on_terminal();
    let lines = tracing_subscriber::fmt::layer().with_writer(Above(bars.clone())).event_format(lines);
    let bars = has_bars.then(|| bars.with_filter(FilterFn::new(bars::is_ours)));
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(own_events(verbosity))).with(bars);
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        tracing::debug!("logging is already set up");
    }
}

/// Tells why the program fails, as a JSON line and at every level.
pub fn failure(message: &str) {
    let line = format::json_line(&tracing::Level::ERROR, message);
    // Nothing can be done about a closed pipe.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Our own events at the level asked for; those of libraries only when they warn, since they may carry header values.
fn own_events(Verbosity(level): Verbosity) -> tracing_subscriber::EnvFilter {
    let libraries = level.min(LevelFilter::WARN);
    tracing_subscriber::EnvFilter::new(format!("{libraries},silt={level},executor={level},warmer={level}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seven_levels_parse() {
        let level = |word: &str| word.parse::<Verbosity>().map(|Verbosity(level)| level);
        let levels = ["panic", "fatal", "error", "warn", "info", "debug", "trace"].map(level);
        let expected = [
            LevelFilter::OFF,
            LevelFilter::OFF,
            LevelFilter::ERROR,
            LevelFilter::WARN,
            LevelFilter::INFO,
            LevelFilter::DEBUG,
            LevelFilter::TRACE,
        ];
        assert_eq!(levels, expected.map(Ok));
        assert_eq!((level("INFO"), level("Warning")), (Ok(LevelFilter::INFO), Ok(LevelFilter::WARN)));
        let wrong = "loud".parse::<Verbosity>().expect_err("not a level");
        assert!(wrong.contains("trace, debug"), "{wrong}");
    }
}
