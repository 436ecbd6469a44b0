//! Variables in the order in which they were first set, each name once.

/// Names and values. Setting a name again keeps its place, as an image's `Env` does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Variables(Vec<(String, String)>);

impl Variables {
    /// Reads `NAME=value` lines, as an image's `Env` holds them; one without `=` has an empty value.
    pub(super) fn from_lines<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut variables = Variables::default();
        for line in lines {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            variables.set(name, value);
        }
        variables
    }

    /// The value of `name`.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Gives `name` this value.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = value.to_owned(),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }

    /// Gives `name` this value unless it has one.
    pub(super) fn set_default(&mut self, name: &str, value: &str) {
        if self.get(name).is_none() {
            self.set(name, value);
        }
    }

    /// All, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// As `NAME=value` lines, in order.
    pub(super) fn to_lines(&self) -> Vec<String> {
        self.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_set_again_keeps_its_place() {
        let mut variables = Variables::from_lines(["A=1", "B", "C=x=y"]);
        variables.set("A", "2");
        variables.set_default("A", "3");
        variables.set_default("D", "4");
        assert_eq!(variables.to_lines(), ["A=2", "B=", "C=x=y", "D=4"]);
        assert_eq!(variables.get("C"), Some("x=y"));
        assert_eq!(variables.get("E"), None);
    }
}
