//! RUN.

use super::{command, syntax};
use crate::dockerfile::flags::Flags;
use crate::dockerfile::run::{Body, Device, Network, Run, Security};
use crate::dockerfile::{Command, Heredoc, MountFlag, Problem, heredoc, suggest};

pub(super) fn run(flags: &Flags, rest: &str, documents: &[Heredoc]) -> Result<Run, Problem> {
    Ok(Run {
        body: body(rest, documents)?,
        mounts: flags.all("mount").iter().map(|text| MountFlag::parse(text)).collect::<Result<_, _>>()?,
        network: choose(
            "network",
            flags,
            &[("default", Network::Default), ("none", Network::None), ("host", Network::Host)],
        )?,
        security: choose("security", flags, &[("sandbox", Security::Sandbox), ("insecure", Security::Insecure)])?,
        devices: flags.all("device").iter().map(|text| device(text)).collect::<Result<_, _>>()?,
    })
}

fn body(rest: &str, documents: &[Heredoc]) -> Result<Body, Problem> {
    match (command("RUN", rest)?, documents) {
        (Command::Exec(words), _) if words.is_empty() => Err(syntax("RUN needs a command")),
        (Command::Exec(words), _) => Ok(Body::Exec(words)),
        (Command::Shell(text), []) => Ok(Body::Shell(text)),
        (Command::Shell(_), [document]) if heredoc::mark(rest).is_some() => Ok(Body::Script(document.clone())),
        (Command::Shell(line), documents) => Ok(Body::Documents { line, documents: documents.to_vec() }),
    }
}

/// The value of a flag that has a few.
fn choose<T: Copy + Default>(name: &str, flags: &Flags, values: &[(&str, T)]) -> Result<T, Problem> {
    let Some(given) = flags.get(name) else { return Ok(T::default()) };
    values.iter().find(|(value, _)| *value == given).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = values.iter().map(|(value, _)| *value).collect();
        let suggestion = suggest::did_you_mean(&given, names.iter().copied());
        syntax(format!("RUN --{name}={given}: it is {}{suggestion}", names.join(" or ")))
    })
}

/// A name, which may have a `=` in it, and whether the step needs it.
fn device(text: &str) -> Result<Device, Problem> {
    let mut device = Device { name: String::new(), required: false };
    for field in text.split(',') {
        match field {
            "required" | "required=true" => device.required = true,
            "required=false" => device.required = false,
            name if device.name.is_empty() => device.name = name.strip_prefix("name=").unwrap_or(name).to_owned(),
            _ => return Err(syntax(format!("RUN --device={text}: {field:?} is no field; give NAME[,required]"))),
        }
    }
    if device.name.is_empty() { Err(syntax("RUN --device needs a name")) } else { Ok(device) }
}
