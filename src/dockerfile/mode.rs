//! What `--chmod` says once it is expanded: an octal mode, or changes as chmod(1) has them (`u=rwX,go=rX`, `+x`).
//!
//! A change without `u`, `g`, `o` or `a` is for all three: BuildKit's umask is 0. `X` is execution for directories and for
//! files that somebody may execute already.

use thiserror::Error;

/// An octal mode or a list of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The mode itself, 0 to 7777.
    Octal(u32),
    /// Changes, one after the other; never empty.
    Symbolic(Vec<Change>),
}

/// One change: who, how, what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The bits of those it is for: any of 0o4700, 0o2070 and 0o1007.
    who: u32,
    operator: Operator,
    permissions: Permissions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Add,
    Remove,
    Set,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Permissions {
    /// Bits for everybody, to be cut to those it is for, and whether `X` is among them.
    Bits(u32, Search),
    /// What the user (6), the group (3) or others (0) have: the shift of their bits.
    Copy(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Search {
    Conditional,
    No,
}

/// No mode.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no mode: give an octal one from 0 to 7777, or changes such as u=rwX,go=rX")]
pub struct BadMode(String);

impl Mode {
    /// Reads an expanded word.
    pub fn parse(text: &str) -> Result<Mode, BadMode> {
        let bad = || BadMode(text.to_owned());
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
            return mode.map(Mode::Octal).ok_or_else(bad);
        }
        let mut changes = Vec::new();
        for clause in text.split(',') {
            clause_changes(clause, &mut changes).ok_or_else(bad)?;
        }
        Ok(Mode::Symbolic(changes))
    }

    /// The permission bits, set-id and sticky bits included, of what had `old`.
    pub fn apply(&self, old: u32, is_directory: bool) -> u32 {
        match self {
            Mode::Octal(mode) => *mode,
            Mode::Symbolic(changes) => {
                changes.iter().fold(old & 0o7777, |mode, change| change.apply(mode, is_directory))
            }
        }
    }
}

impl Change {
    fn apply(self, mode: u32, is_directory: bool) -> u32 {
        let bits = match self.permissions {
            Permissions::Bits(bits, Search::No) => bits,
            Permissions::Bits(bits, Search::Conditional) if is_directory || mode & 0o111 != 0 => bits | 0o111,
            Permissions::Bits(bits, Search::Conditional) => bits,
            Permissions::Copy(shift) => (mode >> shift & 0o7) * 0o111,
        };
        let bits = bits & self.who;
        match self.operator {
            Operator::Add => mode | bits,
            Operator::Remove => mode & !bits,
            Operator::Set => mode & !self.who | bits,
        }
    }
}

/// Adds the changes of one clause: who, then any number of operators with permissions.
fn clause_changes(clause: &str, changes: &mut Vec<Change>) -> Option<()> {
    let end = clause.find(|c| !matches!(c, 'u' | 'g' | 'o' | 'a'))?;
    let who = clause[..end].chars().fold(0, |who, c| who | mask(c));
    let who = if who == 0 { 0o7777 } else { who };
    let mut rest = &clause[end..];
    while let Some(c) = rest.chars().next() {
        let operator = match c {
            '+' => Operator::Add,
            '-' => Operator::Remove,
            '=' => Operator::Set,
            _ => return None,
        };
        rest = &rest[1..];
        let end = rest.find(['+', '-', '=']).unwrap_or(rest.len());
        changes.push(Change { who, operator, permissions: permissions(&rest[..end])? });
        rest = &rest[end..];
    }
    Some(())
}

fn mask(who: char) -> u32 {
    match who {
        'u' => 0o4700,
        'g' => 0o2070,
        'o' => 0o1007,
        _ => 0o7777,
    }
}

fn permissions(text: &str) -> Option<Permissions> {
    match text {
        "u" => return Some(Permissions::Copy(6)),
        "g" => return Some(Permissions::Copy(3)),
        "o" => return Some(Permissions::Copy(0)),
        _ => {}
    }
    let (mut bits, mut search) = (0, Search::No);
    for c in text.chars() {
        match c {
            'r' => bits |= 0o444,
            'w' => bits |= 0o222,
            'x' => bits |= 0o111,
            'X' => search = Search::Conditional,
            's' => bits |= 0o6000,
            't' => bits |= 0o1000,
            _ => return None,
        }
    }
    Some(Permissions::Bits(bits, search))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mode of a file that had `old`.
    fn check(text: &str, old: u32, expected: u32) {
        let mode = Mode::parse(text).expect(text).apply(old, false);
        assert_eq!(mode, expected, "{text} of {old:o}: {mode:o}");
    }

    #[test]
    fn octal_modes() {
        for (text, expected) in [("755", 0o755), ("0644", 0o644), ("4755", 0o4755), ("0", 0), ("7777", 0o7777)] {
            check(text, 0o123, expected);
        }
    }

    #[test]
    fn symbolic_modes_of_files() {
        check("+x", 0o644, 0o755);
        check("a+x", 0o644, 0o755);
        check("u+x", 0o644, 0o744);
        check("g-r,o-r", 0o644, 0o600);
        check("go=", 0o755, 0o700);
        check("u=rwX,go=rX", 0o600, 0o644);
        check("u=rwX,go=rX", 0o700, 0o755);
        check("+X", 0o644, 0o644);
        check("+X", 0o654, 0o755);
        check("u=rw,g=u,o=g", 0o000, 0o666);
        check("o=u-w", 0o640, 0o644);
        check("ug+s", 0o755, 0o6755);
        check("+s", 0o755, 0o6755);
        check("o+s", 0o755, 0o755);
        check("+t", 0o777, 0o1777);
        check("a=rx", 0o7777, 0o555);
        check("u-s", 0o4755, 0o755);
        check("=rw", 0o755, 0o666);
        check("+w", 0o444, 0o666);
        check("a+r+x", 0o000, 0o555);
        check("-rwx", 0o777, 0o000);
        check("=", 0o777, 0);
    }

    #[test]
    fn symbolic_modes_of_directories() {
        for (text, old, expected) in [("u=rwX,go=rX", 0o700, 0o755), ("+X", 0o600, 0o711), ("go-X", 0o755, 0o744)] {
            assert_eq!(Mode::parse(text).expect(text).apply(old, true), expected, "{text}");
        }
    }

    #[test]
    fn no_modes() {
        for text in
            ["", "888", "17777", "0x1", "x", "u", "+q", "u+x,", ",u+x", "u=rwx g=r", "+755", "-1", "u+ug", "u*x"]
        {
            assert!(Mode::parse(text).is_err(), "{text:?}");
        }
    }
}
