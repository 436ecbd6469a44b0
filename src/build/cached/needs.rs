//! What must be built, given what the cache has: backwards from what the user asked for.

use std::collections::BTreeSet;

use crate::plan::{Base, Plan, Source, Step};

/// What is needed of a stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::build) struct Need {
    /// Its image: layers and configuration.
    pub(in crate::build) image: bool,
    /// Its files, for a step of a later stage that is carried out.
    pub(in crate::build) tree: bool,
}

/// The needs of all stages by position. `is_known` says of the step of a stage that it need not be carried out.
pub(in crate::build) fn needs(plan: &Plan, is_known: &dyn Fn(usize, usize) -> bool) -> Vec<Need> {
    let mut needs = vec![Need::default(); plan.stages.len()];
    for (position, stage) in plan.stages.iter().enumerate().rev() {
        let is_asked_for = plan.targets.contains(&position);
        let is_unused = stage.keep.base_of.is_empty() && stage.keep.copies.is_empty();
        needs[position].image |= is_asked_for || is_unused || needs[position].tree;
        if !needs[position].image {
            continue;
        }
        if let Base::Stage(base) = stage.base {
            needs[base].image = true;
        }
        let carried_out = stage.steps.iter().enumerate().filter(|(number, _)| !is_known(position, *number));
        for source in carried_out.flat_map(|(_, step)| Step::sources(step)) {
            if let Source::Stage(source) = source {
                needs[*source].tree = true;
            }
        }
    }
    needs
}

/// The stages whose layers are the target's.
pub(in crate::build) fn of_target(plan: &Plan) -> BTreeSet<usize> {
    let base = |position: &usize| match plan.stages.get(*position)?.base {
        Base::Stage(base) => Some(base),
        _ => None,
    };
    std::iter::successors(Some(plan.target), base).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile;
    use crate::plan::{Options, Unused, plan};

    const FILE: &str = "FROM a AS one\nRUN one\nFROM one AS two\nRUN two\nFROM b AS three\nCOPY --from=two x /\nFROM c\n\
                        RUN --mount=from=three,target=/m four\nCOPY --from=one y /\n";

    /// What is needed: `i` for the image, `t` for the tree, `-` for nothing; `known` are (stage, step).
    fn check(options: &Options, known: &[(usize, usize)], expected: &str) {
        let parsed = dockerfile::parse(FILE.as_bytes()).expect("parses");
        let plan = plan(&parsed, options).expect("a plan");
        let found = needs(&plan, &|stage, step| known.contains(&(stage, step)));
        let text = |need: &Need| match (need.image, need.tree) {
            (false, _) => '-',
            (true, false) => 'i',
            (true, true) => 't',
        };
        assert_eq!(found.iter().map(text).collect::<String>(), expected, "{known:?}");
    }

    #[test]
    fn the_layers_of_the_target_are_those_of_the_stages_that_it_starts_from() {
        let file = "FROM a AS one\nFROM b AS three\nFROM three AS four\nFROM one AS two\nCOPY --from=three x /\n\
                    FROM two\nCOPY --from=four x /\n";
        let parsed = dockerfile::parse(file.as_bytes()).expect("parses");
        let plan = plan(&parsed, &Options::default()).expect("a plan");
        let names: Vec<_> = of_target(&plan).iter().map(|at| plan.stages[*at].index).collect();
        assert_eq!(names, [0, 3, 4]);
    }

    #[test]
    fn only_what_a_step_that_is_carried_out_reads_is_needed() {
        let usual = Options::default();
        check(&usual, &[], "ttti");
        check(&usual, &[(3, 0)], "t--i");
        check(&usual, &[(3, 0), (3, 1)], "---i");
        check(&usual, &[(3, 1), (2, 0)], "--ti");
        check(&usual, &[(3, 1)], "itti");
        check(&Options { targets: vec!["3".into(), "two".into()], ..usual.clone() }, &[(3, 0), (3, 1)], "ii-i");
        check(&Options { targets: vec!["one".into()], unused: Unused::Build, ..usual }, &[], "i");
    }
}
