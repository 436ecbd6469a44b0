//! Rules about the spelling of instructions and the names of stages.

use super::source::{Source, words};
use super::{Finding, Rule};
use crate::dockerfile::{From, Located};

pub(super) fn check(source: &Source<'_>, findings: &mut Vec<Finding>) {
    instruction_casing(source, findings);
    let mut seen = Vec::new();
    for (located, from) in source.parts().filter_map(|part| part.from) {
        let mut find = |rule, message| findings.push(Finding { rule, line: located.span.first, message });
        if let Some((r#as, written)) = as_and_name(located, from) {
            let keyword = words(located)[0];
            if is_lower(keyword) && !is_lower(r#as) || is_upper(keyword) && !is_upper(r#as) {
                find(Rule::FromAsCasing, format!("`{as}` is not in the case of `{keyword}`", r#as = r#as));
            }
            if !is_lower(written) {
                find(Rule::StageNameCasing, format!("the name of stage \"{written}\" should be in lower case"));
            }
        }
        let Some(name) = &from.name else { continue };
        if matches!(name.as_str(), "scratch" | "context") {
            find(Rule::ReservedStageName, format!("\"{name}\" means something else and should not name a stage"));
        }
        if seen.contains(&name) {
            find(Rule::DuplicateStageName, format!("two stages are named \"{name}\""));
        }
        seen.push(name);
    }
}

/// The word AS and the name after it, as written.
fn as_and_name<'a>(located: &'a Located, from: &From) -> Option<(&'a str, &'a str)> {
    from.name.as_ref()?;
    match words(located).as_slice() {
        [.., r#as, name] => Some((r#as, name)),
        _ => None,
    }
}

fn is_lower(text: &str) -> bool {
    !text.contains(|c: char| c.is_uppercase())
}

fn is_upper(text: &str) -> bool {
    !text.contains(|c: char| c.is_lowercase())
}

/// The case that most instructions have is the right one.
fn instruction_casing(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let name = |located: &Located| words(located).first().map(|word| (*word).to_owned()).unwrap_or_default();
    let names: Vec<(u32, String)> = source.file.instructions.iter().map(|l| (l.span.first, name(l))).collect();
    let lower = names.iter().filter(|(_, name)| is_lower(name)).count();
    let upper = names.iter().filter(|(_, name)| is_upper(name)).count();
    let (is_right, case): (fn(&str) -> bool, _) = if lower > upper { (is_lower, "lower") } else { (is_upper, "upper") };
    for (line, name) in names.into_iter().filter(|(_, name)| !is_right(name)) {
        let message = format!("`{name}` should be in {case} case, as most instructions here");
        findings.push(Finding { rule: Rule::ConsistentInstructionCasing, line, message });
    }
}
