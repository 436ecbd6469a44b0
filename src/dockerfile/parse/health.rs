//! HEALTHCHECK.

use super::{command, syntax};
use crate::dockerfile::flags::Flags;
use crate::dockerfile::healthcheck::{Check, Healthcheck};
use crate::dockerfile::{Command, Problem, duration, words};

/// One millisecond: what a container engine can do.
const SHORTEST: i64 = 1_000_000;

/// Options of `HEALTHCHECK NONE` mean nothing; BuildKit takes them too.
pub(super) fn healthcheck(flags: &Flags, rest: &str) -> Result<Healthcheck, Problem> {
    let (kind, rest) = words::first_blank(rest).unwrap_or((rest, ""));
    match kind.to_ascii_uppercase().as_str() {
        "" => Err(syntax("HEALTHCHECK needs CMD and a command, or NONE")),
        "NONE" if rest.is_empty() => Ok(Healthcheck::None),
        "NONE" => Err(syntax("HEALTHCHECK NONE takes no arguments")),
        "CMD" => Ok(Healthcheck::Check(check(flags, rest)?)),
        _ => Err(syntax(format!("HEALTHCHECK {kind}: after the options comes CMD and a command, or NONE"))),
    }
}

fn check(flags: &Flags, rest: &str) -> Result<Check, Problem> {
    let command = command("HEALTHCHECK CMD", rest)?;
    if command == Command::Exec(Vec::new()) {
        return Err(syntax("HEALTHCHECK CMD needs a command"));
    }
    Ok(Check {
        command,
        interval: time(flags, "interval")?,
        timeout: time(flags, "timeout")?,
        start_period: time(flags, "start-period")?,
        start_interval: time(flags, "start-interval")?,
        retries: retries(flags)?,
    })
}

fn time(flags: &Flags, name: &str) -> Result<i64, Problem> {
    let Some(text) = flags.get(name) else { return Ok(0) };
    match duration::nanoseconds(&text) {
        Some(time) if time == 0 || time >= SHORTEST => Ok(time),
        Some(_) => Err(syntax(format!("HEALTHCHECK --{name}={text}: it cannot be less than 1ms"))),
        None => Err(syntax(format!("HEALTHCHECK --{name}={text}: it is no duration such as 30s or 1m30s"))),
    }
}

fn retries(flags: &Flags) -> Result<u32, Problem> {
    let Some(text) = flags.get("retries") else { return Ok(0) };
    let number = text.parse::<i32>().ok().and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| syntax(format!("HEALTHCHECK --retries={text}: it is a number from 0")))
}
