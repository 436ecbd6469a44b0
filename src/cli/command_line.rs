//! Arguments and environment become the flags of one command, with what is to be said about them.
//!
//! `grammar` reads the words, clap gives them types. A command exists twice: as it is parsed, with pflag's booleans, and as it is shown
//! in `--help` and to shells, where a boolean is just its name.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};

use super::env::Env;
use super::flags::{
    CompletionFlags, Flags, LoginFlags, PushCommandFlags, ReferenceFlags, Shell, VersionFlags, WarmerFlags,
};
use super::notices::Notices;
use super::values::go_bool;
use super::{grammar, not_yet, variables};

/// What a command line asks for.
#[derive(Debug)]
pub(super) enum Invocation {
    /// Without a command: build an image.
    Build(Box<Flags>),
    /// `login`.
    Login(Box<LoginFlags>),
    /// `push`.
    Push(Box<PushCommandFlags>),
    /// `version`.
    Version,
    /// `completion`.
    Completion(Shell),
    /// `reference`.
    Reference,
}

/// A command line that is answered at once.
#[derive(Debug)]
pub(super) enum Answer {
    /// Text for standard output.
    Text(String),
    /// A mistake, for standard error.
    Mistake(String),
}

/// The executor's command as it is parsed.
pub(super) fn executor_command() -> Command {
    with_commands(pflag(Flags::command()), pflag)
}

/// The executor's command as it is shown.
pub(super) fn executor_shown() -> Command {
    with_commands(shown(Flags::command()), shown)
}

/// The warmer's command as it is parsed.
pub(super) fn warmer_command() -> Command {
    pflag(WarmerFlags::command())
}

/// The warmer's command as it is shown.
pub(super) fn warmer_shown() -> Command {
    shown(WarmerFlags::command())
}

fn with_commands(root: Command, form: fn(Command) -> Command) -> Command {
    let commands = [
        LoginFlags::command(),
        PushCommandFlags::command(),
        VersionFlags::command(),
        CompletionFlags::command(),
        ReferenceFlags::command(),
    ];
    let named = |command: Command| {
        let name = format!("{} {}", root.get_name(), command.get_name());
        form(command.bin_name(name))
    };
    let commands: Vec<Command> = commands.into_iter().map(named).collect();
    root.subcommands(commands)
}

/// Gives booleans pflag's form: `--x` or `--x=false`.
fn pflag(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        if !matches!(arg.get_action(), ArgAction::SetTrue) {
            return arg;
        }
        let default = if arg.get_default_values().is_empty() { "false" } else { "true" };
        let arg = arg.action(ArgAction::Set).num_args(0..=1).require_equals(true);
        arg.default_missing_value("true").default_value(default).value_parser(go_bool).value_name("true|false")
    });
    built(command)
}

/// Says of booleans what clap says of values, and marks the flags that have no feature behind them yet.
fn shown(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        let is_on = matches!(arg.get_action(), ArgAction::SetTrue) && !arg.get_default_values().is_empty();
        let marks = [is_on.then_some("default: true"), arg.get_long().and_then(not_yet::mark)];
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let help = marks.into_iter().flatten().fold(help, |help, mark| format!("{help} [{mark}]"));
        arg.help(help)
    });
    built(command)
}

/// With the flags that clap adds, under its own name and not that of the file.
fn built(mut command: Command) -> Command {
    command = command.term_width(0).max_term_width(120);
    command.build();
    command
}

/// Reads the executor's command line, the program's name first.
pub(super) fn executor(args: impl IntoIterator<Item = OsString>, env: &Env) -> Result<(Invocation, Notices), Answer> {
    let (parsed, shown) = (executor_command(), executor_shown());
    let mut words = read(&parsed, args)?;
    let first = words.operands.first().and_then(|word| word.to_str()).map(str::to_owned);
    if first.as_deref() == Some("help") {
        let wanted = words.operands.get(1).and_then(|word| shown.find_subcommand(word)).unwrap_or(&shown);
        return Err(help(wanted));
    }
    let known = |command: &Command| first.as_deref().and_then(|name| command.find_subcommand(name).cloned());
    let (Some(command), Some(shown_command)) = (known(&parsed), known(&shown)) else {
        let (flags, matches) = parse::<Flags>(&parsed, &shown, &words, env)?;
        return Ok((Invocation::Build(Box::new(flags)), Notices::new(&words, &matches, &parsed, env)));
    };
    words.operands.remove(0);
    let (invocation, matches) = invocation(&command, &shown_command, &words, env)?;
    let notices = Notices::new(&words, &matches, &command, env);
    Ok((invocation, notices))
}

fn invocation(
    command: &Command,
    shown: &Command,
    words: &grammar::Words,
    env: &Env,
) -> Result<(Invocation, ArgMatches), Answer> {
    Ok(match command.get_name() {
        "login" => {
            let (flags, matches) = parse(command, shown, words, env)?;
            (Invocation::Login(Box::new(flags)), matches)
        }
        "push" => {
            let (flags, matches) = parse(command, shown, words, env)?;
            (Invocation::Push(Box::new(flags)), matches)
        }
        "completion" => {
            let (flags, matches) = parse::<CompletionFlags>(command, shown, words, env)?;
            (Invocation::Completion(flags.shell), matches)
        }
        "reference" => (Invocation::Reference, parse::<ReferenceFlags>(command, shown, words, env)?.1),
        _ => (Invocation::Version, parse::<VersionFlags>(command, shown, words, env)?.1),
    })
}

/// Reads the warmer's command line, the program's name first.
pub(super) fn warmer(args: impl IntoIterator<Item = OsString>, env: &Env) -> Result<(WarmerFlags, Notices), Answer> {
    let (parsed, shown) = (warmer_command(), warmer_shown());
    let words = read(&parsed, args)?;
    let (flags, matches) = parse(&parsed, &shown, &words, env)?;
    let notices = Notices::new(&words, &matches, &parsed, env);
    Ok((flags, notices))
}

fn read(command: &Command, args: impl IntoIterator<Item = OsString>) -> Result<grammar::Words, Answer> {
    grammar::read(command, args.into_iter().skip(1))
        .map_err(|mistake| Answer::Mistake(format!("error: {mistake}\n\nFor more information, try '--help'.\n")))
}

/// Gives types to the words; variables of the environment stand before them, so that flags win.
fn parse<T: FromArgMatches>(
    command: &Command,
    shown: &Command,
    words: &grammar::Words,
    env: &Env,
) -> Result<(T, ArgMatches), Answer> {
    let from_env = variables::as_flags(command, env).map_err(|text| Answer::Mistake(format!("error: {text}\n")))?;
    let name = OsString::from(command.get_name());
    let flags = std::iter::once(name).chain(from_env).chain(words.flags.iter().cloned());
    let matches = command.clone().try_get_matches_from(flags.chain(words.operands.iter().cloned()));
    let matches = matches.map_err(|error| answer(shown, &error))?;
    let typed = T::from_arg_matches(&matches).map_err(|error| answer(shown, &error))?;
    Ok((typed, matches))
}

fn answer(shown: &Command, error: &clap::Error) -> Answer {
    match error.kind() {
        ErrorKind::DisplayHelp => help(shown),
        // What is allowed is said already, in one line.
        ErrorKind::ValueValidation => {
            let text = error.render().to_string();
            Answer::Mistake(format!("{}\n", text.lines().next().unwrap_or_default()))
        }
        _ if error.use_stderr() => Answer::Mistake(error.render().to_string()),
        _ => Answer::Text(error.render().to_string()),
    }
}

fn help(shown: &Command) -> Answer {
    Answer::Text(shown.clone().render_help().to_string())
}
