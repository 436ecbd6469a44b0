//! The layouts of a log line: `color` and `text` for people, `json` for machines with `level`, `msg` and `time`.

use std::fmt;
use std::str::FromStr;
use std::time::Instant;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::Clock;

/// The layout of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `INFO[0003] message`, the level coloured.
    Color,
    /// The same without colour.
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "color" => Ok(Format::Color),
            "text" => Ok(Format::Text),
            "json" => Ok(Format::Json),
            _ => Err(format!("{word:?} is not one of color, text, json")),
        }
    }
}

/// Formats events in one layout.
pub(super) struct Lines {
    pub(super) format: Format,
    pub(super) clock: Clock,
    pub(super) started: Instant,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut message = Message::default();
        event.record(&mut message);
        let level = event.metadata().level();
        match self.format {
            Format::Json => writeln!(to, "{}", json_line(level, &message.0)),
            Format::Text => writeln!(to, "{}[{}] {}", short_name(level), self.stamp(), message.0),
            Format::Color => {
                writeln!(to, "\x1b[{}m{}\x1b[0m[{}] {}", color(level), short_name(level), self.stamp(), message.0)
            }
        }
    }
}

impl Lines {
    fn stamp(&self) -> String {
        match self.clock {
            Clock::Elapsed => format!("{:04}", self.started.elapsed().as_secs()),
            Clock::Timestamp => now(),
        }
    }
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn json_line(level: &Level, message: &str) -> String {
    let level = match *level {
        Level::WARN => "warning",
        Level::ERROR => "error",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    };
    serde_json::json!({ "level": level, "msg": message, "time": now() }).to_string()
}

fn short_name(level: &Level) -> &'static str {
    match *level {
        Level::TRACE => "TRAC",
        Level::DEBUG => "DEBU",
        Level::INFO => "INFO",
        Level::WARN => "WARN",
        Level::ERROR => "ERRO",
    }
}

fn color(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 36,
        Level::DEBUG | Level::TRACE => 37,
    }
}

/// Collects the message and, behind it, the other fields as `name=value`.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0.insert_str(0, &format!("{value:?}"));
        } else {
            self.0.push_str(&format!(" {}={value:?}", field.name()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_line_has_the_three_keys_of_logrus() {
        let line: serde_json::Value = serde_json::from_str(&json_line(&Level::WARN, "a \"b\"\n")).expect("JSON");
        assert_eq!(line["level"], "warning");
        assert_eq!(line["msg"], "a \"b\"\n");
        assert!(line["time"].as_str().expect("text").ends_with('Z'));
    }
}
