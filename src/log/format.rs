//! The layouts of a log line, those of kaniko's logger (logrus): `color` for people, `text` and `json` for machines.
//!
//! The padding that logrus puts behind a coloured message is left out.

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
    /// `time="2026-01-02T03:04:05Z" level=info msg="the message"`.
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
            Format::Text => writeln!(to, "{}", text_line(level, &message.0)),
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

/// The keys that logrus' JSONFormatter writes.
pub(super) fn json_line(level: &Level, message: &str) -> String {
    serde_json::json!({ "level": name(level), "msg": message, "time": now() }).to_string()
}

/// The pairs that logrus' TextFormatter writes without colours. A value is quoted unless it is one plain word.
fn text_line(level: &Level, message: &str) -> String {
    format!("time={} level={} msg={}", quoted(&now()), name(level), quoted(message))
}

fn quoted(value: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-._/@^+".contains(letter);
    if value.chars().all(plain) { value.to_owned() } else { format!("{value:?}") }
}

fn name(level: &Level) -> &'static str {
    match *level {
        Level::WARN => "warning",
        Level::ERROR => "error",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
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
    fn a_text_line_has_the_pairs_of_logrus() {
        let line = text_line(&Level::WARN, "a \"b\"\nc");
        let (time, rest) = line.strip_prefix("time=\"").and_then(|rest| rest.split_once("Z\" ")).expect("a time");
        assert_eq!((time.len(), rest), (19, "level=warning msg=\"a \\\"b\\\"\\nc\""));
        assert!(text_line(&Level::INFO, "one-word").ends_with(" level=info msg=one-word"));
    }

    #[test]
    fn a_json_line_has_the_three_keys_of_logrus() {
        let line: serde_json::Value = serde_json::from_str(&json_line(&Level::WARN, "a \"b\"\n")).expect("JSON");
        assert_eq!(line["level"], "warning");
        assert_eq!(line["msg"], "a \"b\"\n");
        assert!(line["time"].as_str().expect("text").ends_with('Z'));
    }
}
