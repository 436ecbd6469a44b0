//! Bars at the foot of a terminal, one for each transfer that is under way: the subscriber's part of [`Transfer`].
//!
//! Log lines go above the bars. While something else writes to the terminal there are none. Where standard error is no terminal nothing is
//! ever drawn.
//!
//! [`Transfer`]: super::Transfer

use std::io::{self, Write};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::transfer::{DONE, FOREGROUND, TARGET, TRANSFER};

/// How a bar looks. What it is for comes last, since that may be cut off.
const TEMPLATE: &str = "  {bar:24} {bytes:>10} of {total_bytes:>10} {binary_bytes_per_sec:>12} {wide_msg}";

/// How often the bars are drawn again, at most, a second.
const RATE: u8 = 8;

/// The bars of this process's terminal.
#[derive(Clone)]
pub(super) struct Bars {
    bars: MultiProgress,
    target: fn() -> ProgressDrawTarget,
}

impl Bars {
    /// Bars on standard error.
    pub(super) fn on_terminal() -> Bars {
        Bars::on(|| ProgressDrawTarget::stderr_with_hz(RATE))
    }

    fn on(target: fn() -> ProgressDrawTarget) -> Bars {
        Bars { bars: MultiProgress::with_draw_target(target()), target }
    }

    fn begin(&self, fields: Fields) -> ProgressBar {
        let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(fields.total).with_style(style.progress_chars("━╸ ")).with_message(fields.what);
        self.bars.add(bar)
    }

    /// Leaves the terminal to others, or takes it again.
    fn set_target(&self, target: ProgressDrawTarget) {
        // Nothing can be done about a terminal that is gone.
        let _ = self.bars.clear();
        self.bars.set_draw_target(target);
    }
}

/// Whether a span is one of ours.
pub(super) fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target() == TARGET
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Bars {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id).filter(|span| is_ours(span.metadata())) else { return };
        match span.name() {
            FOREGROUND => self.set_target(ProgressDrawTarget::hidden()),
            TRANSFER => {
                let mut fields = Fields::default();
                attributes.record(&mut fields);
                span.extensions_mut().insert(self.begin(fields));
            }
            _ => {}
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let extensions = span.extensions();
        let Some(bar) = extensions.get::<ProgressBar>() else { return };
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(done) = fields.done {
            bar.set_position(done);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id).filter(|span| is_ours(span.metadata())) else { return };
        if span.name() == FOREGROUND {
            self.set_target((self.target)());
        }
        if let Some(bar) = span.extensions_mut().remove::<ProgressBar>() {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
    }
}

/// What a transfer's span says.
#[derive(Default)]
struct Fields {
    what: String,
    total: u64,
    done: Option<u64>,
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            DONE => self.done = Some(value),
            _ => self.total = value,
        }
    }

    fn record_str(&mut self, _: &Field, value: &str) {
        value.clone_into(&mut self.what);
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

/// Standard error above the bars.
#[derive(Clone)]
pub(super) struct Above(pub(super) Bars);

impl Write for Above {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.bars.suspend(|| io::stderr().write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Above {
    type Writer = Above;

    fn make_writer(&'a self) -> Above {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::sync::LazyLock;

    use indicatif::{InMemoryTerm, TermLike};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::log::{Transfer, foreground};

    static TERMINAL: LazyLock<InMemoryTerm> = LazyLock::new(|| InMemoryTerm::new(10, 100));

    fn screen() -> String {
        TERMINAL.contents()
    }

    #[test]
    fn a_transfer_has_a_bar_until_it_ends_and_others_may_write() {
        let bars = Bars::on(|| ProgressDrawTarget::term_like(Box::new(TERMINAL.clone())));
        let subscriber = tracing_subscriber::registry().with(bars);
        tracing::subscriber::with_default(subscriber, || {
            let (first, second) = (Transfer::begin("pull one", 4 << 20), Transfer::begin("unpack two", 10));
            first.at(1 << 20);
            second.reading(&b"12345"[..]).read_exact(&mut [0; 5]).expect("read");
            first.at(2 << 20);
            assert!(screen().contains("2.00 MiB of   4.00 MiB") && screen().contains("pull one"), "{}", screen());
            assert!(screen().contains("unpack two") && screen().contains("5 B of"), "{}", screen());
            drop(second);
            first.at(3 << 20);
            assert!(!screen().contains("unpack two") && screen().contains("3.00 MiB"), "{}", screen());
            let step = foreground();
            assert_eq!(screen(), "");
            TERMINAL.write_line("what the step says").expect("written");
            first.at(4 << 20);
            assert_eq!(screen(), "what the step says");
            drop(step);
            first.at(4 << 20);
            assert!(screen().contains("4.00 MiB"), "{}", screen());
            drop(first);
            assert_eq!(screen(), "what the step says");
        });
    }
}
