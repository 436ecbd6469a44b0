//! Which stage a name that is no stage's may have been meant for. Such a name is taken for an image's, so this only helps
//! once that image cannot be had.

use super::Plan;
use crate::dockerfile::nearest;

/// The stages of a file that have names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageNames(Vec<(String, u32)>);

impl Plan {
    /// The names of all stages, also of those that are not built.
    pub fn stage_names(&self) -> StageNames {
        let built = self.stages.iter().map(|stage| (&stage.name, stage.from.span.first));
        let skipped = self.skipped.iter().map(|stage| (&stage.name, stage.line));
        StageNames(built.chain(skipped).filter_map(|(name, line)| Some((name.clone()?, line))).collect())
    }
}

impl StageNames {
    /// Why `image` may be a mistake: a stage of that name comes later, or one has nearly that name.
    pub fn instead_of(&self, image: &str) -> Option<String> {
        if let Some((name, line)) = self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(image)) {
            return Some(format!("the stage {name:?} only begins in line {line}, so this is an image"));
        }
        let near = nearest(image, self.0.iter().map(|(name, _)| name.as_str()))?;
        Some(format!("no stage is called {image:?} (did you mean {near}?), so this is an image"))
    }
}

#[cfg(test)]
mod tests {
    use crate::dockerfile::parse;
    use crate::plan::{Options, plan};

    #[test]
    fn a_name_that_is_nearly_a_stages() {
        let file = parse(b"FROM b AS Build\nFROM build\nFROM build AS later\n").expect("parses");
        let options = Options { targets: vec!["1".to_owned()], ..Options::default() };
        let names = plan(&file, &options).expect("plans").stage_names();
        let check = |image: &str, expected: Option<&str>| assert_eq!(names.instead_of(image).as_deref(), expected);
        check("buld", Some("no stage is called \"buld\" (did you mean build?), so this is an image"));
        check("LATER", Some("the stage \"later\" only begins in line 3, so this is an image"));
        check("debian", None);
    }
}
