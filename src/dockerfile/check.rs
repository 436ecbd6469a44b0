//! The `check` directive: which build checks are left out, and whether a warning fails the build.

use super::Problem;

/// `skip=A,B;error=true;experimental=C`, any part missing. Names of rules are compared without case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// The rules that are skipped.
    skip: Rules,
    /// The experimental rules that are asked for.
    experimental: Rules,
    /// Whether a warning is an error.
    pub fails: bool,
}

/// Some rules, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rules {
    These(Vec<String>),
    All,
}

impl Default for Rules {
    fn default() -> Self {
        Rules::These(Vec::new())
    }
}

impl Rules {
    fn parse(text: &str) -> Self {
        match text.trim() {
            "all" => Rules::All,
            names => Rules::These(names.split(',').map(|name| name.trim().to_lowercase()).collect()),
        }
    }

    fn has(&self, rule: &str) -> bool {
        match self {
            Rules::All => true,
            Rules::These(names) => names.contains(&rule.to_lowercase()),
        }
    }
}

impl Checks {
    /// Reads the value of the directive, or of the build argument `BUILDKIT_DOCKERFILE_CHECK`.
    pub fn parse(text: &str) -> Result<Checks, Problem> {
        let mut checks = Checks::default();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let bad = || Problem::Directive(format!("check: {part:?} is none of skip=…, error=…, experimental=…"));
            let (key, value) = part.split_once('=').ok_or_else(bad)?;
            match (key.trim(), value.trim()) {
                ("skip", rules) => checks.skip = Rules::parse(rules),
                ("experimental", rules) => checks.experimental = Rules::parse(rules),
                ("error", "true" | "True" | "TRUE" | "t" | "T" | "1") => checks.fails = true,
                ("error", "false" | "False" | "FALSE" | "f" | "F" | "0") => checks.fails = false,
                _ => return Err(bad()),
            }
        }
        Ok(checks)
    }

    /// Whether the rule is left out.
    pub fn skips(&self, rule: &str) -> bool {
        self.skip.has(rule)
    }

    /// Whether the experimental rule is asked for.
    pub fn tries(&self, rule: &str) -> bool {
        self.experimental.has(rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let checks = |text: &str| Checks::parse(text).expect(text);
        assert_eq!(checks(""), Checks::default());
        assert!(!checks("").skips("A") && !checks("").tries("A") && !checks("").fails);
        assert!(checks("skip=all").skips("Anything"));
        assert!(checks("skip=StageNameCasing, FromAsCasing").skips("fromascasing"));
        assert!(!checks("skip=StageNameCasing").skips("FromAsCasing"));
        assert!(checks("skip=A;error=true").fails && checks("error=1").fails && !checks("error=false").fails);
        assert!(checks("experimental=all").tries("A") && checks("experimental=A;skip=B").tries("a"));
        assert!(checks(" skip = A ; error = true ").skips("A"));
        for text in ["skip", "error=maybe", "other=1", "all"] {
            assert!(Checks::parse(text).is_err(), "{text}");
        }
    }
}
