//! What is expected of each cell. A cell whose reality is another fails, also where it is better.

/// The words of the table, by file system and rights; then mark, directory watches, sweep.
pub struct Row(pub &'static str, pub &'static str, pub [&'static str; 3]);

/// Every random sequence must give exactly what a walk gives, after each step.
const EXACT: &str = "exact";
/// The same at the end of the stage, with a sweep, and where `ctime` does not tell with a walk. What steps miss until then was written through a
/// second name.
const SWEPT: &str = "exact with a sweep";
const WALKED: &str = "exact with a full";
/// What the kernel answers.
const NO_HANDLES: &str = "fanotify_mark(FAN_MARK_FILESYSTEM): EOPNOTSUPP";
const NO_MARK: &str = "fanotify_mark(FAN_MARK_FILESYSTEM): EPERM";
const NO_GROUP: &str = "fanotify_init: EPERM";
/// Where a sweep is not relied upon.
const TMPFS: &str = "not trusted: on tmpfs";
const OVER_TMPFS: &str = "not trusted: the root is an overlay over tmpfs";

/// All cells.
pub const TABLE: [Row; 36] = [
    Row("ext4", "everything", [EXACT, SWEPT, EXACT]),
    Row("xfs", "everything", [EXACT, SWEPT, EXACT]),
    Row("btrfs", "everything", [EXACT, SWEPT, EXACT]),
    Row("tmpfs", "everything", [EXACT, WALKED, TMPFS]),
    Row("overlay on ext4", "everything", [NO_HANDLES, SWEPT, EXACT]),
    Row("overlay on xfs", "everything", [NO_HANDLES, SWEPT, EXACT]),
    Row("overlay on btrfs", "everything", [NO_HANDLES, SWEPT, EXACT]),
    Row("overlay on tmpfs", "everything", [NO_HANDLES, WALKED, OVER_TMPFS]),
    Row("nested overlay", "everything", [NO_HANDLES, SWEPT, EXACT]),
    Row("ext4", "capabilities", [NO_MARK, SWEPT, EXACT]),
    Row("xfs", "capabilities", [NO_MARK, SWEPT, EXACT]),
    Row("btrfs", "capabilities", [NO_MARK, SWEPT, EXACT]),
    Row("tmpfs", "capabilities", [NO_MARK, WALKED, TMPFS]),
    Row("overlay on ext4", "capabilities", [NO_MARK, SWEPT, EXACT]),
    Row("overlay on xfs", "capabilities", [NO_MARK, SWEPT, EXACT]),
    Row("overlay on btrfs", "capabilities", [NO_MARK, SWEPT, EXACT]),
    Row("overlay on tmpfs", "capabilities", [NO_MARK, WALKED, OVER_TMPFS]),
    Row("nested overlay", "capabilities", [NO_MARK, SWEPT, EXACT]),
    Row("ext4", "container", [NO_GROUP, SWEPT, EXACT]),
    Row("xfs", "container", [NO_GROUP, SWEPT, EXACT]),
    Row("btrfs", "container", [NO_GROUP, SWEPT, EXACT]),
    Row("tmpfs", "container", [NO_GROUP, WALKED, TMPFS]),
    Row("overlay on ext4", "container", [NO_GROUP, SWEPT, EXACT]),
    Row("overlay on xfs", "container", [NO_GROUP, SWEPT, EXACT]),
    Row("overlay on btrfs", "container", [NO_GROUP, SWEPT, EXACT]),
    Row("overlay on tmpfs", "container", [NO_GROUP, WALKED, OVER_TMPFS]),
    Row("nested overlay", "container", [NO_GROUP, SWEPT, EXACT]),
    Row("ext4", "userns", [NO_MARK, SWEPT, EXACT]),
    Row("xfs", "userns", [NO_MARK, SWEPT, EXACT]),
    Row("btrfs", "userns", [NO_MARK, SWEPT, EXACT]),
    // Its own, so it may mark it.
    Row("tmpfs", "userns", [EXACT, WALKED, TMPFS]),
    Row("overlay on ext4", "userns", [NO_HANDLES, SWEPT, EXACT]),
    Row("overlay on xfs", "userns", [NO_HANDLES, SWEPT, EXACT]),
    Row("overlay on btrfs", "userns", [NO_HANDLES, SWEPT, EXACT]),
    Row("overlay on tmpfs", "userns", [NO_HANDLES, WALKED, OVER_TMPFS]),
    Row("nested overlay", "userns", [NO_HANDLES, SWEPT, EXACT]),
];

/// What is expected of a cell.
pub fn expected(context: &str, ground: &str, rung: usize) -> &'static str {
    let row = TABLE.iter().find(|row| row.0 == ground && row.1 == context);
    row.unwrap_or_else(|| panic!("no row for {ground}, {context}")).2[rung]
}
